"""A bundle is complete, describes itself correctly, and is written atomically."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from changed_bundles import changed_copy
from random_models import small_model
from seq2lite import export
from seq2lite.export import stages
from seq2lite.export.runtime.container import read_container, write_container
from seq2lite.export.runtime.golden import check_golden
from seq2lite.export.system.atomic import write_atomically

FILES = [
    "bundle.json",
    "golden.json",
    "model.tflite",
    "report.html",
    "report.md",
    "tokenizer.model",
]


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_it_holds_the_files_that_belong_together(bundle, tiny_model, tokenizer):
    assert sorted(contents(bundle)) == FILES
    description = json.loads((bundle / "bundle.json").read_text("utf-8"))
    assert sorted(description["sha256"]) == FILES
    for name, digest in description["sha256"].items():
        content = (bundle / name).read_bytes()
        if name == "bundle.json":  # of itself, with zeros for the digits
            content = content.replace(digest.encode(), b"0" * 64)
        assert hashlib.sha256(content).hexdigest() == digest
    assert (bundle / "tokenizer.model").read_bytes() == tokenizer.model_bytes
    assert description["num_parameters"] == tiny_model.count_params()
    assert description["languages"] == ["en", "ko"]
    assert (description["max_source_length"], description["max_target_length"]) == (40, 12)
    state = dict(description["signatures"]["encode"]["outputs"])
    step = description["signatures"]["decode_step"]
    assert step["inputs"] == {**state, "token": {"dtype": "int32", "shape": [-1]}}
    assert set(step["outputs"]) == {*state, "logits", "attention"}
    assert step["outputs"]["logits"]["dtype"] == "float32"


def test_a_device_gives_the_golden_answers(bundle):
    assert check_golden(bundle).startswith("8 golden sentences: ids equal, tokens of 8 equal")


@pytest.mark.parametrize(
    "golden",
    [
        "[]",
        "{}",
        '{"sentences": [{}], "is_exact": true}',
        '{"sentences": [], "is_exact": "no"}',
        "no JSON",
    ],
)
def test_a_broken_golden_file_is_named(bundle, golden, tmp_path):
    changed_copy(bundle, tmp_path, {"golden.json": golden.encode()})
    with pytest.raises(export.BundleError, match=r"golden\.json cannot be read"):
        check_golden(tmp_path)


@pytest.mark.parametrize("is_exact", [True, False])
def test_tokens_may_differ_only_in_a_mode_that_rounds(bundle, is_exact, tmp_path):
    golden = json.loads((bundle / "golden.json").read_text("utf-8"))
    assert golden["is_exact"]
    golden["is_exact"] = is_exact
    for sentence in golden["sentences"][:4]:
        sentence["tokens"].append(5)
    changed_copy(bundle, tmp_path, {"golden.json": json.dumps(golden).encode()})
    if is_exact:
        with pytest.raises(export.BundleError, match=r"tokens for .* must be .* Received:"):
            check_golden(tmp_path)
    else:
        assert "tokens of 4 equal" in check_golden(tmp_path)


@pytest.mark.parametrize("part", ["text", "source", "tokens", "first_logits"])
def test_a_golden_answer_that_differs_is_noticed(bundle, part, tmp_path):
    golden = json.loads((bundle / "golden.json").read_text("utf-8"))
    sentence = golden["sentences"][3]
    if part == "text":
        sentence["text"] = "! " + sentence["text"]
    elif part == "first_logits":
        first = next(iter(sentence["first_logits"]))
        sentence["first_logits"][first] *= 1.2
    else:
        sentence[part][0] = 9 if sentence[part][0] != 9 else 10
    changed_copy(bundle, tmp_path, {"golden.json": json.dumps(golden).encode()})
    with pytest.raises(export.BundleError, match=r"must .* Received:"):
        check_golden(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"quantization": "int2"}, "`quantization` must be one of"),
        ({"quantization": ("int8", 8)}, "`quantization` must be one of .* Received: .*8"),
        (
            {"quantization": ()},
            r"`quantization` must be one or more of .* Received: quantization=\(\)",
        ),
        ({"quantization": ["int8", "int8"]}, "`quantization` must be one or more of .* each once"),
        ({"held_out": None}, "`held_out` must be a list of .* Received: held_out=None"),
        ({"held_out": [("\ud800", "x")]}, "`held_out` must be a list of"),
        ({"calibration": iter("ab")}, "`calibration` must be a list of source texts"),
        ({"held_out": []}, "`held_out` must be a list of"),
        ({"held_out": [(" ", "x")]}, "`held_out` must be a list of"),
        ({"held_out": ["Open File"]}, "`held_out` must be a list of"),
        ({"max_source_length": 1}, "`max_source_length` must be an integer of at least 2"),
        ({"max_target_length": 2.5}, "`max_target_length` must be an integer of at least 2"),
        ({"max_target_length": 65537}, "`max_target_length` must be at most 65536"),
        ({"languages": "en"}, "`languages` must be a pair of language tags"),
        ({"tolerance": 0.1}, "`tolerance` must be None or an export.Tolerance"),
        ({"text": "yes"}, "`text` must be True or False"),
        ({"measure": 1}, "`measure` must be True or False"),
        ({"integer_io": None}, "`integer_io` must be True or False"),
        ({"model": small_model("transformer")}, "`tokenizer` must be the one that the model"),
        ({"tokenizer": "tokenizer.model"}, "`tokenizer` must be an export.Tokenizer"),
    ],
)
def test_a_wrong_argument_is_named_before_work_begins(
    wrong, message, tiny_model, tokenizer, pairs, tmp_path
):
    arguments = {"model": tiny_model, "tokenizer": tokenizer, "held_out": pairs[:2], **wrong}
    with pytest.raises(ValueError, match=message):
        export.to_bundle(path=tmp_path / "my-model", **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "`path` must be free, or the folder of a bundle"),
        ("with-more", "`path` must be free, or the folder of a bundle"),
        ("thesis.txt", "`path` must be free, or the folder of a bundle"),
        ("thesis.zip", "`path` must be free, or the zip of a bundle"),
        ("folder.zip", "`path` must be free, or the zip of a bundle"),
        ("thesis.txt/my-model", "`path` must be in a folder"),
    ],
)
def test_a_path_that_is_no_bundle_is_not_replaced(
    bundle, tiny_model, tokenizer, pairs, tmp_path, path, message
):
    (tmp_path / "thesis.txt").write_text("years of work")
    with zipfile.ZipFile(tmp_path / "thesis.zip", "w") as archive:
        archive.writestr("thesis.txt", "years of work")
    shutil.copytree(bundle, tmp_path / "folder.zip")
    shutil.copytree(bundle, tmp_path / "with-more")
    (tmp_path / "with-more" / "thesis.txt").write_text("years of work")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(ValueError, match=message):
        export.to_bundle(tiny_model, tmp_path / path, tokenizer, pairs[:2])
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


@pytest.fixture
def old(tmp_path):
    """A folder at a path, with an old bundle in it."""
    folder = tmp_path / "my-model"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_text("old")
    return folder


def test_a_new_folder_takes_the_place_of_the_old_one(old):
    def write(partial):
        partial.mkdir()
        (partial / "bundle.json").write_text("new")

    write_atomically(old, write)
    assert contents(old) == {"bundle.json": b"new"}
    assert list(old.parent.iterdir()) == [old]


# What a process writes over an old bundle until something stops it: `write_atomically` in another one.
WRITER = """
import os, signal, resource, sys, time
from pathlib import Path
from seq2lite.export.system.atomic import write_atomically

def write(partial):
    partial.mkdir()
    (partial / "bundle.json").write_text("new")
    {stop}
    (partial / "model.tflite").write_bytes(bytes(1 << 20))

write_atomically(Path(sys.argv[1]), write)
"""
FULL_DISK = (
    "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
)


EXPORTER = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from random_models import randomize
from seq2lite import export, zoo
from seq2lite.recipes.data.samples import VSCODE_VALID
from seq2lite.recipes.data.pairs import read_pairs
from seq2lite.recipes.data.tokenizers import learn_tokenizer

pairs = read_pairs(VSCODE_VALID)
tokenizer = learn_tokenizer((text for pair in pairs for text in pair), 1000)
model = zoo.build("rnn_tiny", **tokenizer.vocabulary)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), -1))
try:
    export.to_bundle(
        model, sys.argv[1], tokenizer, pairs[:8], quantization="float32", num_beams=1, text=False,
        measure=False,
    )
except (OSError, export.ConversionError) as error:
    sys.exit(f"error: {error}")
"""


@pytest.mark.long
@pytest.mark.parametrize("room", [100_000, 3_500_000])  # for half a SavedModel; for half a file
def test_an_export_on_a_full_disk_is_one_sentence_and_leaves_the_old_bundle(old, room):
    before = contents(old)
    done = subprocess.run(
        [sys.executable, "-c", EXPORTER, old, Path(__file__).parent.parent, str(room)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("error: ") >= 1
    assert "Traceback" not in done.stderr
    assert contents(old) == before
    assert list(old.parent.iterdir()) == [old]


def test_a_file_does_not_take_the_place_of_a_folder(old, tiny_model):
    before = contents(old)
    with pytest.raises(ValueError, match="`path` must be a file, not a folder"):
        export.to_tflite(tiny_model, old)
    with pytest.raises(OSError, match="do not replace each other"):
        write_atomically(old, lambda partial: partial.write_text("a file"))
    assert contents(old) == before


def test_a_link_to_a_bundle_stays_a_link_to_the_new_one(old):
    link = old.with_name("link")
    link.symlink_to(old)
    write_atomically(link, lambda partial: partial.mkdir())
    assert link.is_symlink() and contents(old) == {}
    assert sorted(old.parent.iterdir()) == sorted([link, old])


def test_a_full_disk_leaves_the_old_bundle_and_nothing_else(old):
    before = contents(old)
    code = WRITER.format(stop=FULL_DISK)
    done = subprocess.run(
        [sys.executable, "-c", code, old], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "OSError" in done.stderr
    assert contents(old) == before
    assert list(old.parent.iterdir()) == [old]


def test_a_kill_leaves_the_old_bundle_and_the_next_export_cleans_up(old):
    before = contents(old)
    code = WRITER.format(stop="print('half', flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code, old], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)
    assert contents(old) == before
    assert len(list(old.parent.iterdir())) == 2  # the half that the kill left
    write_atomically(old, lambda partial: partial.mkdir())
    assert list(old.parent.iterdir()) == [old]


def test_another_export_to_the_same_place_that_still_runs_is_left_alone(old):
    code = WRITER.format(stop="print('half', flush=True); sys.stdin.read()")
    with subprocess.Popen(
        [sys.executable, "-c", code, old], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"half\n"
        write_atomically(old, lambda partial: partial.mkdir())
        assert contents(old) == {}
        process.stdin.close()
    assert process.returncode == 0
    assert sorted(contents(old)) == ["bundle.json", "model.tflite"]


@pytest.mark.long
def test_int8_answers_come_close_to_keras(tiny_model, tokenizer, pairs, tmp_path):
    """As a zip that replaces another one."""
    path = tmp_path / "int8.zip"
    write_container(path, {}, {}, zipped=True)
    report = export.to_bundle(
        tiny_model,
        path,
        tokenizer,
        pairs[:16],
        max_source_length=40,
        num_beams=1,
        text=False,
        measure=False,
    )
    assert 0 < report.parity.relative_logit_error < 0.1
    assert report.file_size == len(read_container(path).parts["model.tflite"])
    assert report.measurements is report.tokens_per_second is report.keras_tokens_per_second is None
    interpreter_tokens = export.load(report.path).generate(["Open File"], max_length=5)
    assert isinstance(interpreter_tokens[0], str)
    assert check_golden(path).startswith("8 golden sentences")
    assert list(tmp_path.iterdir()) == [path]


def test_bundles_of_floats_and_of_integers_of_one_conversion(
    tiny_model, tokenizer, pairs, tmp_path
):
    """Integer files have no search inside, but load and generate like the others."""
    reports = export.to_bundle(
        tiny_model,
        tmp_path,
        tokenizer,
        pairs[:24],
        quantization=["int8", "int8_static"],
        max_source_length=24,
        max_target_length=8,
        num_beams=2,
        text=False,
        tolerance=export.Tolerance(2.0, 0.0, 0.0, 100.0),  # random weights
        measure=False,
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == list(reports) == ["int8", "int8_static"]
    assert [r.calibrated_on for r in reports.values()] == [None, "the held-out sentences"]
    assert [r.search["num_beams"] for r in reports.values()] == [2, 1]
    assert [export.load(r.path).search for r in reports.values()] == [
        r.search for r in reports.values()
    ]
    for name in reports:  # each tells of both
        told = (tmp_path / name / "report.md").read_text("utf-8")
        assert all(f"| {each} | {r.file_size:,} |" in told for each, r in reports.items())
    path = reports["int8_static"].path
    assert path == tmp_path / "int8_static"
    assert sum(reports["int8_static"].parts.values()) == reports["int8_static"].file_size
    runner = export.load(path)
    texts = [source for source, _ in pairs[:4]]
    answers = runner.generate(texts)
    assert answers == [runner.generate([text])[0] for text in texts]
    assert len(set(answers)) > 1
    sampled = runner.sample(texts, seed=1, max_length=6)
    assert sampled == runner.sample(texts, seed=1, max_length=6) != answers
    assert check_golden(path).startswith("8 golden sentences")


def test_of_several_quantizations_all_are_written_or_none(
    bundle, tiny_model, tokenizer, pairs, tmp_path, monkeypatch
):
    def refuse_float16(file, *arguments):
        if file.parent.name == "float16":
            raise export.ParityError("float16 is not right")
        return check_parity(file, *arguments)

    check_parity = stages.check_parity
    content = (bundle / "model.tflite").read_bytes()
    monkeypatch.setattr(stages, "convert_saved", lambda *_: content)
    monkeypatch.setattr(stages, "check_parity", refuse_float16)
    arguments = {"max_source_length": 40, "num_beams": 1, "text": False, "measure": False}
    pair = ("float32", "float16")
    with pytest.raises(export.ParityError, match="float16 is not right"):
        export.to_bundle(tiny_model, tmp_path, tokenizer, pairs[:4], quantization=pair, **arguments)
    assert not list(tmp_path.iterdir())
    shutil.copytree(bundle, tmp_path / "one")
    with pytest.raises(ValueError, match="`path` must be a folder for bundles, not a bundle"):
        export.to_bundle(tiny_model, tmp_path / "one", tokenizer, pairs[:4], quantization=pair)
