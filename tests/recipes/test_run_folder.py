"""A run's folder: who may have it, and with which options."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from seq2lite.recipes.distributed import handover, precision, processes
from seq2lite.recipes.run.folder import CHECKPOINTS, RECORD, check_run_folder, open_run
from seq2lite.recipes.training.options import Training
from seq2lite.recipes.translate import Config, build_data, build_model


class Stop(Exception):
    """What ends a run in these tests."""


@pytest.fixture
def stopped(tmp_path):
    """The Config of a run that was stopped after a round."""
    config = Config(output=str(tmp_path / "run"))
    with pytest.raises(Stop), open_run(config) as folder:
        (folder / CHECKPOINTS).mkdir()
        (folder / CHECKPOINTS / "round-000001.npz").touch()
        raise Stop
    return config


def test_a_folder_is_one_runs_at_a_time(stopped):
    with open_run(stopped) as folder:
        before = sorted(folder.iterdir())
        for config in (stopped, dataclasses.replace(stopped, overwrite=True)):
            with pytest.raises(
                ValueError, match=r"no other process is at work on. Received: .*run"
            ):
                check_run_folder(config)
        assert sorted(folder.iterdir()) == before
    assert sorted(path.name for path in folder.iterdir()) == ["done", RECORD]


def test_of_a_linked_folder_the_link_alone_is_replaced(stopped, tmp_path):
    kept = tmp_path / "elsewhere" / "kept"
    kept.parent.mkdir()
    kept.touch()
    (tmp_path / "run" / "tensorboard").symlink_to(kept.parent)
    other = dataclasses.replace(stopped, preset="transformer_tiny", overwrite=True)
    with open_run(other) as folder:
        assert not (folder / "tensorboard").exists()
    assert kept.exists()


@pytest.mark.parametrize("more", ["notes.md", "another-run"])
def test_what_is_no_part_of_a_run_is_never_removed_with_it(stopped, more):
    (Path(stopped.output) / more).mkdir()
    (Path(stopped.output) / ".report.md.partial-x").mkdir()  # which a killed process left
    other = dataclasses.replace(stopped, preset="transformer_tiny", overwrite=True)
    with (
        pytest.raises(
            ValueError, match=f"nothing but a run, .* Received: .*run, which holds {more}$"
        ),
        open_run(other),
    ):
        pass
    assert (Path(stopped.output) / CHECKPOINTS).exists()
    with open_run(dataclasses.replace(stopped, overwrite=True)) as folder:  # which removes nothing
        assert (folder / more).exists()


def test_what_a_user_puts_beside_checkpoints_outlives_the_run(stopped):
    """A copy of a round, say."""
    copy = Path(stopped.output) / CHECKPOINTS / "round-best.npz"
    copy.write_bytes(b"a user's copy")
    with open_run(stopped):
        pass
    assert list(copy.parent.iterdir()) == [copy]
    with pytest.raises(ValueError, match=r"which holds checkpoints/round-best\.npz$"):
        check_run_folder(dataclasses.replace(stopped, overwrite=True))


def test_what_has_no_part_in_the_weights_may_change_when_a_run_goes_on(stopped):
    training = Training(finish=True, data_service="grpc://10.0.0.3:5000")
    other = dataclasses.replace(stopped, quantizations=("int4",), training=training)
    with open_run(other) as folder:
        assert (folder / CHECKPOINTS / "round-000001.npz").exists()
        assert json.loads((folder / RECORD).read_text())["quantizations"] == ["int4"]
    assert not (folder / CHECKPOINTS).exists()


def test_what_has_a_part_in_them_may_not(stopped):
    other = dataclasses.replace(stopped, training=Training(ema=0.9, seed=2))
    with pytest.raises(ValueError, match=r"Received: ema=0.9 \(there: 0.0\), seed=2 \(there: 1\)$"):
        check_run_folder(other)


def everything(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_run_of_other_options_is_neither_finished_nor_replaced_by_finish(stopped, tmp_path):
    training = Training(finish=True, seed=2)
    before = everything(tmp_path)
    for overwrite in (False, True):
        other = dataclasses.replace(stopped, training=training, overwrite=overwrite)
        with pytest.raises(ValueError, match=r"Received: seed=2 \(there: 1\)$"):
            check_run_folder(other)
    assert everything(tmp_path) == before


def test_the_process_that_exports_has_the_options_of_the_one_that_trained(tmp_path, monkeypatch):
    """Under JAX: what `auto` stands for there, and the shapes of its batches."""
    code = "import json; from seq2lite.recipes.distributed import processes; "
    code += "print(json.dumps(processes.run_options('auto')))"
    trained = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    config = Config(output=str(tmp_path / "run"), overwrite=True)
    for name, value in handover.environment(json.loads(trained)).items():
        monkeypatch.setenv(name, value)
    for _ in range(2):  # the second time the record is the first one's, and nothing is removed
        with pytest.raises(Stop), open_run(config) as folder:
            (folder / CHECKPOINTS).mkdir(exist_ok=True)
            (folder / CHECKPOINTS / "round-000001.npz").touch()
            raise Stop
    # Whatever this machine would choose: an optimizer for float16 could not take the checkpoint.
    monkeypatch.setattr(precision, "gpu_capability", lambda: (7, 5))
    data = build_data(config)
    assert build_model(config, data).dtype_policy.name == "float32"
    record = json.loads((folder / RECORD).read_text())
    assert record["precision"] == "float32" and record.items() >= json.loads(trained).items()
    assert processes.batch_options() == {"few_shapes": True, "rows_multiple": 8}
    with pytest.raises(
        ValueError, match=r"run of other options.*Received: .*preset='transformer_tiny'"
    ):
        check_run_folder(dataclasses.replace(config, preset="transformer_tiny"))
    assert (folder / CHECKPOINTS / "round-000001.npz").exists()


def test_a_run_killed_as_it_makes_its_record_begins_anew(tmp_path):
    config = Config(output=str(tmp_path))
    (tmp_path / ".lock").touch()
    (tmp_path / f".{RECORD}.partial-x1").mkdir()
    (tmp_path / f".{RECORD}.partial-x1" / RECORD).write_text("{")
    with open_run(config) as folder:
        assert json.loads((folder / RECORD).read_text())["preset"] == config.preset
    assert sorted(path.name for path in tmp_path.iterdir()) == ["done", RECORD]


def test_what_a_run_reads_from_is_not_what_it_replaces(tmp_path):
    with open_run(Config(output=str(tmp_path / "teacher"))) as folder:
        (folder / "model.keras").touch()
    before = everything(tmp_path)
    config = Config(output=str(tmp_path / "teacher"), overwrite=True)
    with pytest.raises(ValueError, match=r"must not be a folder that the run reads from"):
        check_run_folder(config, [str(folder / "model.keras")])
    assert everything(tmp_path) == before


def test_nothing_is_replaced_before_the_data_service_answers(stopped, tmp_path):
    before = everything(tmp_path)
    training = Training(seed=2, data_service="grpc://localhost:9")
    config = dataclasses.replace(stopped, training=training, overwrite=True)
    with pytest.raises(OSError, match="`data_service` must be running at grpc://localhost:9"):
        check_run_folder(config)
    assert everything(tmp_path) == before


def test_a_run_knows_what_auto_stood_for(stopped, monkeypatch):
    other = {"float32": "mixed_bfloat16", "mixed_bfloat16": "float32"}
    here = json.loads((Path(stopped.output) / RECORD).read_text())["precision"]
    check_run_folder(
        dataclasses.replace(stopped, training=Training(precision=here))
    )  # as good as auto
    monkeypatch.setattr(processes, "choose_precision", lambda name: other[here])
    with pytest.raises(ValueError, match=rf"precision='{other[here]}' \(there: '{here}'\)"):
        check_run_folder(stopped)


def test_a_backend_that_cannot_export_is_named_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match=r"`KERAS_BACKEND` must be tensorflow.*Received: torch"):
        check_run_folder(Config(output=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_only_a_run_that_has_ended_a_round_can_be_finished(stopped, tmp_path):
    finish = Training(finish=True)
    check_run_folder(dataclasses.replace(stopped, training=finish))
    with pytest.raises(ValueError, match=r"`finish` must find a round .* Received: .*new, which"):
        check_run_folder(Config(output=str(tmp_path / "new"), training=finish))
    assert not (tmp_path / "new").exists()
