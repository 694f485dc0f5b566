"""The run folder: which run may use it, and with which options."""

import json
import shlex
from pathlib import Path

import keras
import pytest

from seq2lite.recipes.data import samples
from seq2lite.recipes.data.load import load_data
from seq2lite.recipes.distributed import machine, precision
from seq2lite.recipes.distributed.machine import Machine
from seq2lite.recipes.options import replace
from seq2lite.recipes.run import command_line, record
from seq2lite.recipes.run import folder as run_folder
from seq2lite.recipes.run.build import build_model
from seq2lite.recipes.run.prepare import prepare_run
from seq2lite.recipes.run.record import RECORD
from seq2lite.recipes.translate import Config

CHECKPOINT = Path("checkpoints") / "checkpoint-000001.npz"


def open_run(config):
    return run_folder.open_run(prepare_run(config))


class Stop(Exception):
    """The end of a run in these tests."""


def stop(config):
    """Begin the run, write a checkpoint and stop; returns the folder."""
    with pytest.raises(Stop), open_run(config) as folder:
        (folder / CHECKPOINT).parent.mkdir(exist_ok=True)
        (folder / CHECKPOINT).touch()
        raise Stop
    return folder


@pytest.fixture
def stopped(tmp_path):
    """The Config of a run that was stopped after an evaluation."""
    config = Config.of(output=str(tmp_path / "run"))
    stop(config)
    return config


def everything(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_record_is_the_same_wherever_the_package_is_installed(stopped):
    content = Path(stopped.run.output, RECORD).read_text("utf-8")
    assert str(samples.FILES) not in content
    assert json.loads(content)["train"] == [samples.VSCODE_TRAIN.name]
    assert f"content of {samples.VSCODE_VALID.name}" in json.loads(content)


def test_only_one_run_uses_a_folder_at_a_time(stopped):
    with open_run(stopped) as folder:
        before = sorted(folder.iterdir())
        for config in (stopped, replace(stopped, overwrite=True)):
            with pytest.raises(ValueError, match=r"without a run in progress. Received: .*run"):
                prepare_run(config)
        assert sorted(folder.iterdir()) == before
    assert sorted(path.name for path in folder.iterdir()) == ["done", RECORD]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_another_run_has_used_since_the_checks_is_refused(stopped, overwrite):
    config = replace(stopped, preset="transformer_tiny") if overwrite else stopped
    run = prepare_run(replace(config, overwrite=overwrite))
    with open_run(stopped) as folder:
        pass
    before = everything(folder)
    expected = "must not change while .* Received: .*run, where another run has been started"
    with pytest.raises(ValueError, match=expected), run_folder.open_run(run):
        pass
    assert everything(folder) == {**before, folder / ".lock": b""}


def test_files_that_another_program_writes_after_the_checks_are_not_overwritten(tmp_path):
    run = prepare_run(Config.of(output=str(tmp_path / "run")))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").write_bytes(b"another model")
    before = everything(tmp_path)
    expected = "a new folder, or one of an earlier run. Received: .*run, which contains other"
    with pytest.raises(ValueError, match=expected), run_folder.open_run(run):
        pass
    assert everything(tmp_path) == {**before, tmp_path / "run" / ".lock": b""}


def test_replacing_a_run_removes_links_but_not_their_targets(stopped, tmp_path):
    kept = tmp_path / "elsewhere" / "kept"
    kept.parent.mkdir()
    kept.touch()
    (tmp_path / "run" / "tensorboard").symlink_to(kept.parent)
    with open_run(replace(stopped, preset="transformer_tiny", overwrite=True)) as folder:
        assert not (folder / "tensorboard").exists()
    assert kept.exists()


@pytest.mark.parametrize("other", ["notes.md", "another-run"])
def test_files_of_another_origin_are_never_removed_with_a_run(stopped, other):
    folder = Path(stopped.run.output)
    (folder / other).mkdir()
    (folder / ".report.md.partial-x").mkdir()  # left by a killed process
    changed = replace(stopped, preset="transformer_tiny", overwrite=True)
    expected = f"the run that --overwrite replaces. Received: .*run, which contains {other}$"
    with pytest.raises(ValueError, match=expected), open_run(changed):
        pass
    assert (folder / CHECKPOINT).exists()
    with open_run(replace(stopped, overwrite=True)):  # resumes, so removes nothing
        assert (folder / other).exists()


def test_a_users_copy_of_a_checkpoint_is_never_removed(stopped):
    copy = Path(stopped.run.output) / "checkpoints" / "checkpoint-best.npz"
    copy.write_bytes(b"a user's copy")
    with open_run(stopped):
        pass
    assert list(copy.parent.iterdir()) == [copy]
    with pytest.raises(ValueError, match=r"which contains checkpoints/checkpoint-best\.npz$"):
        prepare_run(replace(stopped, overwrite=True))


def test_a_run_resumes_with_other_options_that_do_not_affect_the_weights(stopped):
    free = {"finish": True, "data_service": "grpc://10.0.0.3:5000", "measure": False}
    free["quantizations"] = ("int4",)
    with open_run(replace(stopped, **free)) as folder:
        assert (folder / CHECKPOINT).exists()
        assert json.loads((folder / RECORD).read_text())["quantizations"] == ["int4"]
    assert not (folder / "checkpoints").exists()


def test_options_that_affect_the_weights_must_be_the_same(stopped):
    expected = r"Received: ema=0.9 \(recorded: 0.0\), seed=2 \(recorded: 1\)$"
    with pytest.raises(ValueError, match=expected):
        prepare_run(replace(stopped, ema=0.9, seed=2))


@pytest.mark.parametrize("overwrite", [False, True])
def test_finish_neither_exports_nor_replaces_a_run_with_other_options(stopped, tmp_path, overwrite):
    before = everything(tmp_path)
    with pytest.raises(ValueError, match=r"Received: seed=2 \(recorded: 1\)$"):
        prepare_run(replace(stopped, finish=True, seed=2, overwrite=overwrite))
    assert everything(tmp_path) == before


@pytest.mark.parametrize("by_command", [False, True])
def test_a_run_that_this_backend_cannot_export_names_the_command_that_does_once(
    tmp_path, monkeypatch, capsys, by_command
):
    """As under JAX: from Python it is printed; the command line starts it."""
    options = {"quantizations": (), "measure": False, "overwrite": True, "ema": 0.5}
    config = Config.of(output=str(tmp_path / "a run"), architecture=("num_layers=1",), **options)
    for module in (run_folder, command_line):
        monkeypatch.setattr(module, "can_export", lambda: False)
    started = []
    monkeypatch.setattr(command_line.os, "execve", lambda *args: started.append(args))

    def train(config):
        with open_run(config):
            pass

    if by_command:
        flags = ["--output", str(tmp_path / "a run"), "--architecture", "num_layers=1"]
        flags += ["--quantizations", "--no-measure", "--ema", "0.5"]
        command_line.run_recipe("", Config, train, flags)
        ((_, (_, *command), environment),) = started
        assert command == ["-m", train.__module__, *flags, "--finish"]
        assert environment["KERAS_BACKEND"] == "tensorflow"
    else:
        train(config)
        assert not started
    printed = capsys.readouterr().out
    assert printed.count("KERAS_BACKEND=tensorflow") == 1
    advice, *command = shlex.split(printed.rpartition(": ")[2])
    assert advice == "KERAS_BACKEND=tensorflow"
    finish = command_line.parse_config("", Config, command[command.index("translate") + 1 :])
    assert not prepare_run(config).is_finished and not finish.run.overwrite
    (tmp_path / "a run" / CHECKPOINT).parent.mkdir()
    (tmp_path / "a run" / CHECKPOINT).touch()
    assert prepare_run(finish).is_resumable


def test_a_run_of_another_backend_is_finished_with_its_precision_and_batches(tmp_path, monkeypatch):
    """As the process that exports under TensorFlow finishes a run trained under JAX."""
    config = Config.of(output=str(tmp_path / "run"), overwrite=True)
    jax = Machine("jax", processes=2, few_shapes=True, rows_multiple=8)
    with monkeypatch.context() as patched:
        patched.setattr(record, "this_machine", lambda: jax)
        patched.setattr(record, "choose_precision", lambda: "float32")
        folder = stop(config)
    # This machine would choose another precision, whose optimizer has other variables.
    monkeypatch.setattr(precision, "gpu_capability", lambda: (7, 5))
    finish = replace(config, finish=True)
    resolved = prepare_run(finish).config
    assert resolved.machine == jax and resolved.training.precision == "float32"
    data = load_data(resolved)
    model = build_model(resolved, data.tokenizer)
    assert model.dtype_policy.name == "float32"
    assert data.train.few_shapes and set(data.train._buckets.shapes[:, 0] % 8) == {0}
    with pytest.raises(ValueError, match=r"other options.*Received: .*preset='transformer_tiny'"):
        prepare_run(replace(finish, preset="transformer_tiny"))
    with pytest.raises(ValueError, match=r"Received: backend='tensorflow' \(recorded: 'jax'\)"):
        prepare_run(replace(config, overwrite=False, precision="float32"))
    with open_run(finish):
        assert (folder / CHECKPOINT).exists()
    assert (folder / "done").exists()


@pytest.mark.parametrize(("num_devices", "rows_multiple"), [(1, 8), (4, 8), (3, 24)])
def test_under_jax_batches_have_few_shapes_for_any_number_of_devices(
    monkeypatch, num_devices, rows_multiple
):
    monkeypatch.setattr(machine, "IS_JAX", True)
    monkeypatch.setattr(machine.keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(machine, "num_devices", lambda: num_devices)
    assert machine.this_machine() == Machine("jax", 1, True, rows_multiple)


def test_a_run_killed_while_it_writes_its_record_starts_again(tmp_path):
    config = Config.of(output=str(tmp_path))
    (tmp_path / ".lock").touch()
    (tmp_path / f".{RECORD}.partial-x1").mkdir()
    (tmp_path / f".{RECORD}.partial-x1" / RECORD).write_text("{")
    with open_run(config) as folder:
        assert json.loads((folder / RECORD).read_text())["preset"] == config.model.preset
    assert sorted(path.name for path in tmp_path.iterdir()) == ["done", RECORD]


def test_a_run_never_replaces_the_folder_that_it_reads_from(tmp_path):
    with open_run(Config.of(output=str(tmp_path / "run"))) as folder:
        (folder / "train.tsv").write_text("a\tb\n")
    before = everything(tmp_path)
    train = (str(folder / "train.tsv"),)
    config = Config.of(output=str(folder), overwrite=True, train=train)
    with pytest.raises(ValueError, match=r"must not be a folder that the run reads from"):
        prepare_run(config)
    assert everything(tmp_path) == before


def test_nothing_is_replaced_before_the_data_service_responds(stopped, tmp_path):
    before = everything(tmp_path)
    config = replace(stopped, seed=2, data_service="grpc://localhost:9", overwrite=True)
    with pytest.raises(OSError, match="`data_service` must be running at grpc://localhost:9"):
        prepare_run(config)
    assert everything(tmp_path) == before


def test_auto_is_recorded_as_the_value_that_it_selects(stopped, monkeypatch):
    other = {"float32": "mixed_bfloat16", "mixed_bfloat16": "float32"}
    here = json.loads((Path(stopped.run.output) / RECORD).read_text())["precision"]
    prepare_run(replace(stopped, precision=here))  # the same as auto
    monkeypatch.setattr(record, "choose_precision", lambda: other[here])
    expected = rf"precision='{other[here]}' \(recorded: '{here}'\)"
    with pytest.raises(ValueError, match=expected):
        prepare_run(stopped)


def test_a_backend_that_cannot_train_is_named_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match=r"must be tensorflow or jax. Received: torch"):
        prepare_run(Config.of(output=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_only_a_run_with_a_checkpoint_can_be_finished(stopped, tmp_path):
    prepare_run(replace(stopped, finish=True))
    with pytest.raises(ValueError, match=r"`finish` must find a checkpoint .* Received: .*new, wh"):
        prepare_run(Config.of(output=str(tmp_path / "new"), finish=True))
    assert not (tmp_path / "new").exists()
