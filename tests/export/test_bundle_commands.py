"""`seq2lite run`, `check` and `info`, as a user calls them."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings

import pytest

from seq2lite import export
from seq2lite.__main__ import main
from seq2lite.commands.run import read_groups


def command(*arguments, stdin=None):
    return subprocess.run(
        [sys.executable, "-m", "seq2lite", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
    )


def open_pipe(bundle):
    """`run`, as a part of a pipe."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "seq2lite", "run", bundle]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)


def test_run_translates_its_arguments(bundle):
    done = command("run", bundle, "Open File", "Close")
    assert done.returncode == 0
    expected = export.load(bundle).generate(["Open File", "Close"])
    assert done.stdout.decode().split("\n") == [*expected, ""]


def test_run_streams_the_targets_of_greedy_search(bundle):
    texts = ["Open File", "", "Close"]
    done = command("run", bundle, "--stream", "--max-length", 5, "--", *texts)
    assert done.returncode == 0
    expected = export.load(bundle).generate(texts, max_length=5, num_beams=1)
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
@pytest.mark.parametrize(("n_best", "num_beams"), [(4, None), (2, None), (5, None), (2, 3), (1, 1)])
def test_run_gives_the_best_targets_with_their_scores(bundle, through, n_best, num_beams):
    texts = ["Open File", "", "Close"]
    runner = export.load(bundle)
    beams = num_beams or max(n_best, runner.search["num_beams"])
    expected = runner.generate_beam(texts, max_length=5, num_beams=beams)
    options = ["--n-best", n_best, "--max-length", 5]
    options += ["--num-beams", num_beams] if num_beams else []
    if through == "arguments":
        done = command("run", bundle, *options, "--", *texts)
    else:
        done = command("run", bundle, *options, stdin="\n".join(texts).encode())
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
    best = [(n, *pair) for n, pairs in enumerate(expected, start=1) for pair in pairs[:n_best]]
    assert [(int(number), target) for number, target, _ in lines] == [row[:2] for row in best]
    scores = [float(score) for *_, score in lines]
    assert scores == pytest.approx([score for *_, score in best], abs=1e-3)


def test_run_searches_with_the_options_that_are_given(bundle):
    runner, texts = export.load(bundle), ["Open File", "Close all"]
    for num_beams, length_penalty in ((1, None), (2, None), (4, 3.0)):
        options = ["--num-beams", num_beams]
        options += ["--length-penalty", length_penalty] if length_penalty else []
        done = command("run", bundle, *options, *texts)
        search = {"num_beams": num_beams, "length_penalty": length_penalty}
        assert done.stdout.decode().splitlines() == runner.generate(texts, **search)


@pytest.mark.parametrize("mode", [[], ["--n-best", "1"], ["--stream"]])
def test_run_controls_the_search(bundle, mode):
    runner, texts = export.load(bundle), ["Open File", "Close all"]
    control = {"prefix": "to", "min_length": 3, "no_repeat_ngram": 2, "repetition_penalty": 1.5}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in control.items()]
    search = {"num_beams": 1} if mode == ["--stream"] else {}
    expected = runner.generate(texts, max_length=8, **search, **control)
    assert expected != runner.generate(texts, max_length=8, **search)
    done = command("run", bundle, *mode, *flags, "--max-length", 8, *texts)
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert [line[1] if len(line) > 1 else line[0] for line in lines] == expected
    first = runner.tokenizers.target.encode(expected)[0][0]
    banned = runner.generate(texts, max_length=8, num_beams=1, banned_tokens=[first, 0])
    done = command(
        "run", bundle, "--num-beams=1", f"--banned-tokens={first},0", "--max-length=8", *texts
    )
    assert done.stdout.decode().splitlines() == banned != expected


def test_a_long_text_is_generated_by_sentence(bundle):
    sentences = ["Open File.", "Close it!", "Save the file now."]
    text = "Open File.  Close it!\nSave the file now."
    runner = export.load(bundle)
    one, two, three = runner.generate(sentences)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert runner.generate([text, " "], split=True) == [f"{one}  {two}\n{three}", ""]
        many = "Open File. " * 40
        assert runner.generate([many], split=True) == [" ".join([one] * 40)]
    with pytest.warns(UserWarning, match=r"a text of .* use `split=True` or --split"):
        runner.generate([many])
    done = command("run", bundle, "--split", text.replace("\n", " "))
    assert done.stdout.decode() == f"{one}  {two} {three}\n"


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


def test_groups_are_the_lines_that_are_there():
    """A fast pipe gives large groups; a slow one gives a group for each line."""
    lines = [f"text {number}" for number in range(20_000)]
    groups = list(read_groups(io.BytesIO("\n".join(lines).encode())))
    assert [line for group in groups for line in group] == lines
    assert len(groups[0]) > 100 and len(groups) > 2
    slow = io.BufferedReader(Slow(b"one\n", b"t", b"wo\r\nthree\n\n", b"\xea", b"\xb0\x80"))
    assert list(read_groups(slow)) == [["one"], ["two", "three", ""], ["\uac00"]]
    with pytest.raises(ValueError, match="standard input, line 3: must be UTF-8"):
        list(read_groups(io.BufferedReader(Slow(b"one\ntwo\n", b"\xff\n"))))


class Slow(io.RawIOBase):
    """A stream that gives one part at a time."""

    def __init__(self, *parts):
        self.parts = list(parts)

    def readable(self):
        return True

    def readinto(self, buffer):
        part = self.parts.pop(0) if self.parts else b""
        buffer[: len(part)] = part
        return len(part)


def test_a_long_input_keeps_its_order_and_the_lines_before_a_fault_are_answered(bundle):
    texts = [f"Open File {number}" * (number % 3 + 1) for number in range(40)]
    expected = export.load(bundle).generate(texts, max_length=3)
    content = "\n".join(texts).encode()
    done = command("run", bundle, "--max-length", "3", stdin=content + b"\n\xff\nlast")
    assert done.stdout.decode().split("\n") == [*expected, ""]
    assert done.returncode == 1
    assert "standard input, line 41: must be UTF-8" in done.stderr.decode()


@pytest.mark.parametrize("part", ["", "model.tflite"])
def test_info_describes_a_bundle_and_a_file(bundle, part, capsys):
    assert main(["info", str(bundle / part)]) == 0
    lines = capsys.readouterr().out.splitlines()
    facts = {line.split("  ")[1]: line.split()[-1] for line in lines if line.startswith("  ")}
    description = json.loads((bundle / "bundle.json").read_text("utf-8"))
    assert facts["quantization mode"] == description["quantization"]
    assert facts["minimum runtime"] == description["min_runtime"]
    assert facts["languages"] == description["languages"][-1]
    signatures = [line.split()[1] for line in lines if line.startswith("signature ")]
    assert signatures == list(description["signatures"])
    assert any("tokens" in line and "int32 (any, any)" in line for line in lines)


def test_info_needs_no_tensorflow(bundle):
    code = (
        "import sys; from seq2lite.__main__ import main; main(['info', sys.argv[1]]);"
        "sys.exit(bool({'tensorflow', 'keras'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code, bundle], timeout=60, check=False)
    assert done.returncode == 0


def test_info_refuses_what_is_no_tflite_file(bundle, tmp_path, capsys):
    for content, message in [
        (b"other", "`path` must be a bundle or a TFLite file. Received: "),
        ((bundle / "model.tflite").read_bytes()[:5000], "must be a valid TFLite file"),
    ]:
        (tmp_path / "file.tflite").write_bytes(content)
        assert main(["info", str(tmp_path / "file.tflite")]) == 1
        assert message in capsys.readouterr().err


def truncated(bundle, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "truncated")
    os.truncate(copy / "model.tflite", 5000)
    return copy


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["run", "nowhere", "x"], None, "error: nowhere is not a bundle"),
        (["run", __file__, "x"], None, "is not a bundle: it must be a folder or a zip"),
        (["check", lambda bundle, _: bundle / "model.tflite"], None, "Try its folder, "),
        (["check", "nowhere"], None, "error: nowhere is not a bundle"),
        (["run", truncated, "x"], None, "model.tflite is corrupted or belongs to another bundle"),
        (["run", None], b"ok\n\xff\xfe\n", "error: standard input, line 2: must be UTF-8"),
        (["run", None, b"\xff"], None, "error: `texts[0]` must be valid Unicode"),
        (["run", None, "x", "--threads", "0"], None, "error: `num_threads` must be a positive"),
        (["run", None, "x", "--max-length", "-1"], None, "error: `max_length` must be a positive"),
        (["run", None, "x", "--stream", "--split"], None, "`stream` must be given without"),
        (["run", None, "x", "--n-best=5", "--num-beams=3"], None, "must be at most num_beams=3"),
        (["run", None, "x", "--length-penalty=1", "--stream"], None, "`length_penalty` must be"),
        (["run", None, "x", "--length-penalty=1", "--num-beams=1"], None, "`length_penalty` must"),
        (["run", None, "x", "--n-best", "0"], None, "error: `n_best` must be a positive"),
        (["run", None, "x", "--n-best", "2", "--split"], None, "`split` must be given without"),
    ],
)
def test_a_mistake_is_one_sentence_and_a_status(bundle, tmp_path, arguments, stdin, message):
    arguments = [
        bundle if a is None else a(bundle, tmp_path) if callable(a) else a for a in arguments
    ]
    done = subprocess.run(
        [sys.executable, "-m", "seq2lite", *arguments],
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
