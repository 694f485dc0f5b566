"""The translation recipe, from text to a bundle, and what it says when it cannot."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from seq2lite import export, zoo
from seq2lite.export.runtime import pad
from seq2lite.recipes import translate


def recipe(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "seq2lite.recipes.translate", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_training_lowers_the_loss_and_a_bundle_comes_out(trained):
    config, result = trained
    run = Path(config.output)
    assert sorted(file.name for file in run.iterdir()) == [
        "done", "float32", "model.keras", "seq2lite-run.json"
    ]  # fmt: skip
    start = zoo.build(config.preset, **result.tokenizer.vocabulary)
    pairs = [(source, target) for source, target in zip(*read(config), strict=True)][:16]
    assert (
        mean_loss(result.model, result.tokenizer, pairs)
        < mean_loss(start, result.tokenizer, pairs) - 1
    )
    assert result.scores["chrF"] == pytest.approx(result.reports["float32"].parity.keras_chrf)
    assert json.loads((run / "seq2lite-run.json").read_text())["preset"] == config.preset


def read(config):
    lines = Path(config.valid).read_text("utf-8").splitlines()
    return zip(*(line.split("\t") for line in lines), strict=True)


def mean_loss(model, tokenizer, pairs):
    """Cross-entropy a token, as a plain loop."""
    losses = []
    for source, target in pairs:
        source, target = tokenizer.encode([source, target])
        source, target = np.array([[*source, 3]]), np.array([[2, *target, 3]])
        logits = np.array(model({"source": source, "target": target[:, :-1]}))[0]
        log_sums = np.log(np.exp(logits - logits.max()).sum(-1)) + logits.max()
        losses += list(log_sums - logits[np.arange(len(logits)), target[0, 1:]])
    return np.mean(losses)


def test_the_float32_file_equals_keras_token_by_token_on_trained_weights(trained):
    """At several batches and lengths, of the model as it was saved."""
    config, result = trained
    model = keras.saving.load_model(Path(config.output) / "model.keras")
    runner = export.load(result.reports["float32"].path)
    sources, _ = read(config)
    distinct = set()
    for batch in (1, 2, 7, 24):
        for max_length in (3, 40):
            source = pad(runner.source_ids(list(sources[:batch])), 0)
            expected, expected_lengths = zoo.greedy_search(model, source, max_length)
            found, lengths = runner.generate_ids(source, max_length)
            np.testing.assert_array_equal(lengths, expected_lengths)
            np.testing.assert_array_equal(found, expected)
            distinct.update(row.tobytes() for row in found)
        sources = sources[1:]  # another first sentence each time
        sources = [*sources, "Open File"]
    assert len(distinct) > 10


def test_the_saved_model_loads_with_the_zoo_alone(trained):
    config, result = trained
    code = "import sys, keras; from seq2lite import zoo; model = keras.saving.load_model(sys.argv[1]); "
    code += "assert 'seq2lite.recipes' not in sys.modules; print(model.count_params())"
    file = Path(config.output) / "model.keras"
    done = subprocess.run(
        [sys.executable, "-c", code, file], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) == result.model.count_params()


def test_a_finished_run_is_not_overwritten_unasked(trained):
    config, _ = trained
    with recipe(
        "--train", config.train, "--valid", config.valid, "--output", config.output
    ) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "holds a finished run. Give another --output, or --overwrite" in errors
    assert (Path(config.output) / "done").exists()


def test_a_stopped_run_goes_on_from_its_last_epoch(pairs, tmp_path):
    """As a user does it: the command, a kill, the same command, which translates in the end."""
    (tmp_path / "train.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs), "utf-8")
    (tmp_path / "valid.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs[:8]), "utf-8")
    command = ["--train", "train.tsv", "--valid", "valid.tsv", "--preset", "rnn_tiny"]
    command += ["--vocabulary-size", 1000, "--max-length", 32, "--epochs", 3, "--output", "run"]
    command += ["--quantizations", "int8"]
    with recipe(*command, cwd=tmp_path) as process:
        signal.alarm(180)
        while (line := process.stdout.readline()) and not line.startswith("Epoch 2/3"):
            pass
        signal.alarm(0)
        process.kill()
    assert line.startswith("Epoch 2/3")
    with recipe(*command, "--learning-rate", 1, cwd=tmp_path) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "holds a run of other options" in errors
    assert "learning_rate=1.0 (there: 0.002)" in errors
    with recipe(*command, cwd=tmp_path) as process:
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "Epoch 1/3" not in output and "Epoch 2/3" in output and "Epoch 3/3" in output
    assert "chrF" in output and "version:" in output  # sacreBLEU's signature
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == [
        "done", "int8", "model.keras", "seq2lite-run.json"
    ]  # fmt: skip
    assert len(export.load(tmp_path / "run" / "int8").generate(["Open File"])) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train", "nowhere.tsv"], "error: The data file must exist. Received: nowhere.tsv"),
        (["--valid", "one-column.tsv"], "one-column.tsv, line 2: must be a source and a target"),
        (["--preset", "gpt"], "error: `preset` must be of"),
        (["--quantizations", "int8", "int3"], "error: `quantizations` must be of"),
        (["--epochs", "0"], "error: `epochs` must be a positive integer. Received: 0"),
        (["--max-length", "1"], "error: `max_source_length` must be an integer of 2 or more"),
        (["--seed", "-1"], "error: `seed` must not be negative. Received: -1"),
        (["--output", ".", "--overwrite"], "error: `output` must be a new folder, or one of an"),
        (
            ["--output", "old", "--overwrite", "--train", "no.tsv"],
            "error: The data file must exist",
        ),
        (["--output", "old", "--overwrite", "--dropout", "2"], "error: `dropout` must be a number"),
        (["--languages", "en"], "error: `languages` must be two tags"),
        (["--dropout", "2"], "error: `dropout` must be a number in [0, 1)"),
        (["--train", "small.tsv"], "must hold enough different pieces for vocabulary_size=4000"),
        (["--output", "thesis"], "error: `output` must be a new folder, or one of an earlier run"),
        (["--output", "small.tsv"], "error: `output` must be a folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("one-column.tsv").write_text("a\tb\nc\n")
    Path("small.tsv").write_text("a\tb\n")
    Path("thesis").mkdir()
    Path("thesis/thesis.txt").write_text("years of work")
    Path("config.json").write_text("{}")
    Path("old").mkdir()
    Path("old/seq2lite-run.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as exit_info:
        translate.main(arguments)
    assert exit_info.value.code == 1
    errors = capsys.readouterr().err.splitlines()
    assert [line for line in errors if message in line], errors
    assert sorted(tmp_path.rglob("*")) == before


def test_a_loss_that_is_not_finite_is_explained(trained, tmp_path):
    config, _ = trained
    (tmp_path / "backup").mkdir()
    data = translate.build_data(config)
    model = translate.build_model(config, data)
    model.output_projection.bias.assign(np.full(model.vocabulary_size, np.nan))
    with pytest.raises(ValueError, match=r"The loss must be finite.* learning_rate=0.002"):
        translate.fit(config, model, data, tmp_path)
