"""`python -m seq2lite.export`, as a user calls it."""

import os
import shutil
import signal
import subprocess
import sys
import warnings

import pytest

from seq2lite import export
from seq2lite.export.__main__ import main


def command(*arguments, stdin=None):
    return subprocess.run(
        [sys.executable, "-m", "seq2lite.export", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
    )


def open_pipe(bundle):
    """`run`, as a part of a pipe."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "seq2lite.export", "run", bundle]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)


def test_run_translates_its_arguments(bundle):
    done = command("run", bundle, "Open File", "Close")
    assert done.returncode == 0
    expected = export.load(bundle).generate(["Open File", "Close"])
    assert done.stdout.decode().split("\n") == [*expected, ""]


def test_texts_stand_before_between_and_after_options(bundle):
    texts = ["Open File", "Close", "-x", "Save"]
    expected = export.load(bundle).generate(texts, max_length=3)
    assert len(set(expected)) > 1
    done = command(
        "run",
        "--threads",
        "2",
        bundle,
        "Open File",
        "--max-length",
        "3",
        "Close",
        "--",
        "-x",
        "Save",
    )
    assert done.returncode == 0
    assert done.stdout.decode().split("\n") == [*expected, ""]


@pytest.mark.parametrize("through", ["arguments", "standard input"])
def test_run_with_beams_gives_every_target_with_its_score(bundle, through):
    texts = ["Open File", "", "Close"]
    expected = export.load(bundle).generate_beam(texts, max_length=5)
    if through == "arguments":
        done = command("run", bundle, "--beams", "--max-length", "5", *texts)
    else:
        done = command(
            "run", bundle, "--beams", "--max-length", "5", stdin="\n".join(texts).encode()
        )
    assert done.returncode == 0
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert [(int(number), target) for number, target, _ in lines] == [
        (number, target) for number, beams in enumerate(expected, start=1) for target, _ in beams
    ]
    scores = [float(score) for *_, score in lines]
    assert scores == pytest.approx([s for beams in expected for _, s in beams], abs=1e-3)
    assert len(lines) > 4


def test_run_reads_standard_input_a_line_a_sentence(bundle):
    done = command("run", bundle, "--max-length", "3", stdin="Open File\r\n\n파일\nlast".encode())
    texts = ["Open File", "", "파일", "last"]
    expected = export.load(bundle).generate(texts, max_length=3)
    assert done.returncode == 0
    assert done.stdout.decode().split("\n") == [*expected, ""]


def test_each_line_is_answered_before_the_next_is_read(bundle):
    """So that a pipe can hold a conversation."""
    with open_pipe(bundle) as process:
        signal.alarm(60)  # a line that is not answered would wait for ever
        for line in (b"Open File\n", b"Close\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline().endswith(b"\n")
        signal.alarm(0)


def test_a_reader_that_leaves_early_is_no_error(bundle):
    with open_pipe(bundle) as process:
        process.stdout.close()
        _, stderr = process.communicate(b"Open File\n" * 3, timeout=60)
    assert b"Traceback" not in stderr and b"error" not in stderr


def test_a_long_line_is_cut_with_a_warning(bundle):
    done = command("run", bundle, "menu " * 60)
    assert done.returncode == 0
    assert done.stderr.decode().count("warning: a text of") == 1


def test_the_command_leaves_the_warnings_of_its_process_unchanged(tmp_path, capsys):
    before = warnings.showwarning
    assert main(["check", str(tmp_path / "missing")]) == 1
    assert warnings.showwarning is before
    assert capsys.readouterr().err.startswith("error: ")


def test_check_compares_with_the_golden_answers(bundle):
    done = command("check", bundle)
    assert done.returncode == 0
    assert done.stdout.startswith(b"8 golden sentences")


def truncated(bundle, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "truncated")
    os.truncate(copy / "model.tflite", 5000)
    return copy


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["run", "nowhere", "x"], None, "error: nowhere is not a bundle"),
        (["check", "nowhere"], None, "error: nowhere is not a bundle"),
        (["run", truncated, "x"], None, "model.tflite is corrupted or belongs to another bundle"),
        (["run", None], b"ok\n\xff\xfe\n", "error: standard input, line 2: must be UTF-8"),
        (["run", None, b"\xff"], None, "error: `texts` must be valid Unicode"),
        (["run", None, "x", "--threads", "0"], None, "error: `num_threads` must be a positive"),
        (["run", None, "x", "--max-length", "-1"], None, "error: `max_length` must be a positive"),
    ],
)
def test_a_mistake_is_one_sentence_and_a_status(bundle, tmp_path, arguments, stdin, message):
    arguments = [
        bundle if a is None else a(bundle, tmp_path) if callable(a) else a for a in arguments
    ]
    done = subprocess.run(
        [sys.executable, "-m", "seq2lite.export", *arguments],
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    errors = [line for line in done.stderr.decode().splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert b"Traceback" not in done.stderr
