"""The translation recipe, from text to a bundle, and its errors."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from random_models import SMALL_PRESETS
from seq2lite import export, zoo
from seq2lite.__main__ import main
from seq2lite.export.runtime.text import pad
from seq2lite.recipes import distill, translate
from seq2lite.recipes.data.pairs import read_pairs
from seq2lite.recipes.evaluation.decoding import Search
from seq2lite.recipes.run.build import build_model
from seq2lite.recipes.training.options import Training


def recipe(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "seq2lite.recipes.translate", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


RUN_FILES = [
    "curves.png", "done", "export.json", "history.json", "model.keras", "report.md", "scores.json",
    "seq2lite-run.json", "tokenizer.model",
]  # fmt: skip


def test_training_lowers_the_loss_and_a_bundle_comes_out(trained):
    config, result = trained
    run = Path(config.run.output)
    assert sorted(file.name for file in run.iterdir()) == sorted([*RUN_FILES, "float32"])
    start = build_model(config, result.data.tokenizer)
    pairs = [(source, target) for source, target in zip(*read(config), strict=True)][:16]
    assert (
        mean_loss(result.model, result.data.tokenizer, pairs)
        < mean_loss(start, result.data.tokenizer, pairs) - 1
    )
    assert result.reports["float32"].measurements is None  # `measure` is off
    (scores,) = result.scores.values()
    # Keras and the file: the same weights, the same search, the same text.
    assert scores["float32"] == pytest.approx(scores["Keras"])
    assert json.loads((run / "seq2lite-run.json").read_text())["preset"] == config.model.preset


def test_the_report_contains_the_scores_and_the_command(trained):
    config, result = trained
    run = Path(config.run.output)
    report = (run / "report.md").read_text("utf-8")
    (scores,) = result.scores.values()
    for text in (
        f"{scores['Keras']['chrF']:.2f}",
        "| epochs | 7 |",
        "version:",
        "curves.png",
        f"# translate: {config.model.preset}",
    ):
        assert text in report
    history = json.loads((run / "history.json").read_text())
    assert [h["evaluation"] for h in history] == list(range(1, 8))
    assert json.loads((run / "scores.json").read_text("utf-8")) == result.scores
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")


def read(config):
    lines = Path(*config.data.valid).read_text("utf-8").splitlines()
    return zip(*(line.split("\t") for line in lines), strict=True)


def mean_loss(model, tokenizer, pairs):
    """Cross-entropy a token, as a plain loop."""
    losses = []
    for source, target in pairs:
        source, target = tokenizer.encode([source, target])
        source, target = np.array([[*source, 3]]), np.array([[2, *target, 3]])
        logits = model({"source": source, "target": target[:, :-1]})[0]
        # A sum in bfloat16, which some processors train in, stops growing.
        logits = np.array(keras.ops.cast(logits, "float32"))
        log_sums = np.log(np.exp(logits - logits.max()).sum(-1)) + logits.max()
        losses += list(log_sums - logits[np.arange(len(logits)), target[0, 1:]])
    return np.mean(losses)


def test_the_float32_file_equals_keras_token_by_token_on_trained_weights(trained):
    """At several batches and lengths, of the model as it was saved."""
    config, result = trained
    model = keras.saving.load_model(Path(config.run.output) / "model.keras")
    runner = export.load(result.reports["float32"].path)
    sources = [source for source, _ in read_pairs(*config.data.train)]
    distinct = set()
    for batch in (1, 2, 7, 100):
        for max_length in (3, 40):
            source = pad(runner.source_ids(sources[:batch]), 0)
            expected, expected_lengths = zoo.greedy_search(model, source, max_length)
            found, lengths = runner.engine.greedy(source, max_length)
            np.testing.assert_array_equal(lengths, expected_lengths)
            np.testing.assert_array_equal(found, expected)
            distinct.update(row.tobytes() for row in found)
        sources = sources[batch:]  # others each time
    assert len(distinct) > 10


@pytest.mark.long
def test_the_saved_model_loads_with_the_zoo_alone(trained):
    config, result = trained
    code = "import sys, keras; from seq2lite import zoo; model = keras.saving.load_model(sys.argv[1]); "
    code += "assert 'seq2lite.recipes' not in sys.modules; print(model.count_params())"
    file = Path(config.run.output) / "model.keras"
    done = subprocess.run(
        [sys.executable, "-c", code, file], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) == result.model.count_params()


@pytest.mark.long
@pytest.mark.parametrize("teacher", [".", "float32"])
def test_a_student_learns_from_a_run_and_from_a_bundle(trained, teacher, pairs, tmp_path):
    """A student of another family, and a table of both."""
    config, _ = trained
    preset = "rnn_tiny" if config.model.preset.startswith("transformer") else "transformer_tiny"
    path = tmp_path / "train.tsv"
    path.write_text("".join(f"{a}\t{b}\n" for a, b in pairs[24:64]), "utf-8")
    options = distill.Config.of(
        teacher=str(Path(config.run.output) / teacher),
        train=(str(path),),
        valid=config.data.valid,
        output=str(tmp_path / "student"),
        preset=preset,
        architecture=SMALL_PRESETS[preset],
        max_source_length=24,
        max_target_length=24,
        quantizations=(),
        training=Training(
            epochs=4, batch_tokens=512, learning_rate=0.01, warmup_steps=5, score_pairs=0
        ),
        search=Search(num_beams=1),
    )
    result = distill.train(options)
    (scores,) = result.scores.values()
    assert scores["teacher"]["MB"] > 0.1 and scores["teacher"]["ms per sentence"] > 0
    assert "chrF" in scores["Keras"]
    history = json.loads((tmp_path / "student" / "history.json").read_text("utf-8"))
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    assert "| teacher |" in (tmp_path / "student" / "report.md").read_text("utf-8")


def test_a_finished_run_is_not_overwritten_by_default(trained, capsys):
    config, _ = trained
    flags = ["--train", *config.data.train, "--valid", *config.data.valid]
    with pytest.raises(SystemExit) as exit_info:
        translate.main([*flags, "--output", config.run.output])
    assert exit_info.value.code == 1
    errors = capsys.readouterr().err
    assert "contains a finished run. Give another --output, or --overwrite" in errors
    assert (Path(config.run.output) / "done").exists()


@pytest.mark.long
def test_a_stopped_run_resumes_after_its_last_evaluation(pairs, tmp_path):
    """As a user does it: the command, a kill, the same command, which translates in the end."""
    (tmp_path / "train.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs), "utf-8")
    (tmp_path / "valid.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs[:8]), "utf-8")
    command = ["--train", "train.tsv", "--valid", "valid.tsv", "--preset", "rnn_tiny"]
    command += ["--vocabulary-size", 900, "--max-length", 32, "--epochs", 3, "--output", "run"]
    command += ["--quantizations", "int8", "--score-pairs", 0, "--overwrite"]
    with recipe(*command, cwd=tmp_path) as process:
        signal.alarm(180)
        while (line := process.stdout.readline()) and not line.startswith("evaluation 1"):
            pass
        signal.alarm(0)
        process.kill()
    assert line.startswith("evaluation 1: loss")
    without = command[:-1]
    with recipe(*without, "--learning-rate", 1, cwd=tmp_path) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "contains a run with other options" in errors
    assert "learning_rate=1.0 (recorded: 0.004)" in errors
    (tmp_path / "valid.tsv").rename(tmp_path / "kept.tsv")
    (tmp_path / "valid.tsv").write_text("other\ttext\n")
    with recipe(*without, cwd=tmp_path) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and "content of valid.tsv=" in errors
    (tmp_path / "kept.tsv").rename(tmp_path / "valid.tsv")
    with recipe(*command, cwd=tmp_path) as process:
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "resumes after evaluation" in output and "evaluation 3:" in output
    assert "evaluation 1:" not in output
    found = sorted(file.name for file in (tmp_path / "run").iterdir())
    assert found == sorted([*RUN_FILES, "int8"])
    command = " ".join(map(str, command))
    report = (tmp_path / "run" / "report.md").read_text("utf-8")
    assert f"\nseq2lite translate {command}\n" in report
    assert len(export.load(tmp_path / "run" / "int8").generate(["Open File"])) == 1


def test_a_finished_run_is_exported_again_in_other_modes(trained, tmp_path, capsys):
    config, _ = trained
    run, output = Path(config.run.output), tmp_path / "again"
    again = ["export", str(run), "--quantizations", "float32", "int8", "--no-measure"]
    assert main([*again, "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert f"{output / 'int8'}: int8, " in printed and "held-out sentences" in printed
    first, second = run / "float32", output / "float32"
    for name in ("model.tflite", "tokenizer.model", "golden.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert (output / "int8" / "bundle.json").is_file()
    single = tmp_path / "one.zip"
    assert main([*again[:4], "--no-measure", "--output", str(single)]) == 0
    assert export.load(single).generate(["Open"]) == export.load(first).generate(["Open"])


def test_an_unfinished_run_cannot_be_exported_again(tmp_path, capsys):
    assert main(["export", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: `run` must be the folder of a finished run")
    assert f"Received: {tmp_path}" in error and "--finish" in error


SMALL = ["--train", "pairs.tsv", "--vocabulary-size", "900"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train", "nowhere.tsv"], "error: The data file must exist. Received: nowhere.tsv"),
        (["--valid", "one-column.tsv"], "one-column.tsv, line 2 must be a source and a target"),
        (["--preset", "gpt"], "error: `preset` must be one of"),
        (["--quantizations", "int8", "int3"], "error: `quantizations` must be one of"),
        (["--quantizations", "int8", "int8"], "error: `quantizations` must contain each mode once"),
        (["--epochs", "0"], "error: `epochs` must be at least 1. Received: 0"),
        (["--max-length", "1"], "error: `max_length` must be an integer of at least 2"),
        (["--seed", "-1"], "error: `seed` must be from 0 to 4294967295. Received: -1"),
        (["--output", ".", "--overwrite"], "error: `output` must be a new folder, or one of an"),
        (
            ["--output", "old", "--overwrite", "--train", "no.tsv"],
            "error: The data file must exist",
        ),
        (
            ["--output", "old", "--overwrite", "--dropout", "2", *SMALL],
            "error: `dropout` must be a number",
        ),
        (["--train", "a.txt", "b.txt"], "line 2 has no counterpart. Received: 1 and 2 lines"),
        (["--train", "a.txt", "b.txt", "b.txt"], "error: `train` must be a file of pairs, or"),
        (
            ["--finish"],
            "error: `finish` must find a checkpoint of an earlier run with the same options",
        ),
        (["--schedule", "linear"], "error: `schedule` must be one of cosine, inverse_square_root"),
        (
            ["--learning-rate", "inf"],
            "error: `learning_rate` must be finite and at least 0. Received: inf",
        ),
        (
            ["--num-beams", "0"],
            "error: `num_beams` must be a positive integer. Received: num_beams=0",
        ),
        (["--languages", "en"], "error: `languages` must be two tags"),
        (["--dropout", "2", *SMALL], "error: `dropout` must be a number in [0, 1)"),
        (["--architecture", "num_layers=0"], "error: `num_layers` must be a positive int"),
        (
            ["--train", "small.tsv"],
            "error: `vocabulary_size` must be at most 26",
        ),
        (["--output", "thesis"], "error: `output` must be a new folder, or one of an earlier run"),
        (["--output", "small.tsv"], "error: `output` must be a folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(
    arguments, message, pairs, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("pairs.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs), "utf-8")
    Path("one-column.tsv").write_text("a\tb\nc\n")
    Path("small.tsv").write_text("a\tb\nc\td\n")
    Path("a.txt").write_text("a\n")
    Path("b.txt").write_text("a\nb\n")
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
