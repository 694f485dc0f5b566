"""An export that is stopped at any point keeps the earlier bundle, and the next export cleans up."""

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from faults import content_of, export_stub, fault, full_disk, snapshot
from seq2lite import export
from seq2lite.export.system.atomic import scratch_folder


@pytest.fixture(params=["my-model", "my-model.zip"])
def path(request, tmp_path):
    path = tmp_path / request.param
    export_stub(path, b"old")
    return path


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "renames"])
def test_an_error_at_any_call_leaves_the_earlier_bundle(path, exchange):
    with fault(exchange=exchange) as calls:
        export_stub(path, b"old")
    before, raised = snapshot(path), 0
    assert len(calls) >= (50 if path.is_dir() else 25)
    for at, call in enumerate(calls):
        try:
            with fault(at, full_disk, exchange):
                export_stub(path, b"new")
        except OSError:
            assert snapshot(path) == before, (at, call)
            raised += 1
        else:  # in cleaning up, when the new one was in its place
            assert content_of(path) == b"new", (at, call)
        export_stub(path, b"old")
        assert list(path.parent.iterdir()) == [path], (at, call)
        assert snapshot(path) == before
    assert raised >= (40 if path.is_dir() else 15)


# In a process without threads, which can fork: each fork is killed at one of the calls.
KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from faults import content_of, export_stub, fault, kill, snapshot
from seq2lite.export.system.atomic import write_atomically

path, exchange = Path(sys.argv[1]), sys.argv[3] == "True"
before = snapshot(path)
with fault(exchange=exchange) as calls:
    export_stub(path, b"old")

def fail(partial):
    raise InterruptedError

found = {"old": 0, "new": 0, "put back": 0}
for at, call in enumerate(calls):
    child = os.fork()
    if not child:
        with fault(at, kill, exchange):
            export_stub(path, b"new")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 9, call
    if not path.exists():  # between two renames: whatever comes next puts it back
        assert not exchange
        try:
            write_atomically(path, fail)
        except InterruptedError:
            found["put back"] += 1
    content = content_of(path)
    assert content == b"new" or snapshot(path) == before, call
    found[content.decode()] += 1
    export_stub(path, b"old")
    assert list(path.parent.iterdir()) == [path], call
print(len(calls), found["old"], found["new"], found["put back"])
"""


@pytest.mark.parametrize(
    ("path", "exchange"),
    [
        ("my-model", True),
        ("my-model.zip", False),
        pytest.param("my-model", False, marks=pytest.mark.long),
        pytest.param("my-model.zip", True, marks=pytest.mark.long),
    ],
    indirect=["path"],
)
def test_a_kill_at_any_call_leaves_a_complete_bundle(path, exchange):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, path, Path(__file__).parent.parent, str(exchange)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    points, old, new, put_back = map(int, done.stdout.split())
    assert points == old + new and old >= (40 if path.is_dir() else 15) and new > 2
    assert put_back == (0 if exchange else 1)


EXPORTER = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from seq2lite import export, zoo
from seq2lite.export.conversion import converter
from seq2lite.export.runtime import container
from seq2lite.recipes.data.samples import VSCODE_VALID
from seq2lite.recipes.data.pairs import read_pairs
from seq2lite.recipes.data.tokenizers import learn_tokenizer

def kill(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[3] == "converting":
    converter.run_isolated = kill
else:
    container.seal = kill
pairs = read_pairs(VSCODE_VALID)
tokenizer = learn_tokenizer((text for pair in pairs for text in pair), 1000)
model = zoo.transformer(
    vocabulary_size=1000, num_layers=1, model_dim=16, num_heads=2, feed_forward_dim=16
)
export.to_bundle(
    model, sys.argv[1], tokenizer, pairs[:4], quantization="float32", num_beams=1, text=False,
    measure=False,
)
"""


@pytest.mark.long
@pytest.mark.parametrize("when", ["converting", "writing"])
def test_a_kill_of_a_whole_export_leaves_the_earlier_bundle(tmp_path, monkeypatch, when):
    path, temporary = tmp_path / "place" / "my-model", tmp_path / "temporary"
    export_stub(path, b"old")
    before = snapshot(path)
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", EXPORTER, path, Path(__file__).parent.parent, when],
        env=os.environ | {"TMPDIR": str(temporary)},
        capture_output=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert snapshot(path) == before
    left = [*temporary.glob(".seq2lite-*"), *path.parent.glob(".my-model*")]
    # Where it worked, and when it was killed in writing what it wrote too.
    assert len(left) == {"converting": 1, "writing": 2}[when]
    with scratch_folder(parent=temporary):
        export_stub(path, b"new")
    assert content_of(path) == b"new"
    assert list(path.parent.iterdir()) == [path]
    assert not list(temporary.glob(".seq2lite-*"))


def test_a_scratch_folder_in_use_is_left_alone_and_names_are_no_patterns(tmp_path):
    with scratch_folder("a[b]*", tmp_path) as first, scratch_folder("a[b]*", tmp_path) as second:
        assert first != second and first.is_dir()
    (tmp_path / "abc").mkdir()
    with scratch_folder("a[b]*", tmp_path):
        assert (tmp_path / "abc").is_dir()


@pytest.fixture(scope="session")
def whole_zip(tmp_path_factory):
    path = tmp_path_factory.mktemp("zip") / "my-model.zip"
    export_stub(path, b"old")
    return path


def rewritten(source, path, change=lambda name: {}, extra=(), compression=zipfile.ZIP_STORED):
    """A zip of the same entries, some of them with other names or attributes, and of `extra`."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(path, "w", compression) as made:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
        for name, content in [*entries, *extra]:
            entry = zipfile.ZipInfo()
            entry.compress_type = compression
            # Set afterwards: a ZipInfo corrects the name that it is made with.
            for attribute, value in {"filename": name, **change(name)}.items():
                setattr(entry, attribute, value)
            made.writestr(entry, content)


LINK = {"external_attr": 0o120777 << 16}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"extra": [("../escaped", b"x")]}, r"'\.\./escaped' must have a plain file name"),
        ({"extra": [("/tmp/escaped", b"x")]}, r"'/tmp/escaped' must have a plain file name"),
        ({"extra": [("..\\escaped", b"x")]}, "must have a plain file name"),
        ({"extra": [("folder/", b"")]}, "'folder/' must have a plain file name"),
        ({"extra": [("a\0b", b"x")]}, "must have a plain file name"),
        (
            {"extra": [("stranger", b"x")]},
            "must contain only files that bundle.json lists. Received: 'stranger'",
        ),
        ({"extra": [("model.tflite", b"x")]}, "'model.tflite' appears twice"),
        ({"extra": [(f"n{i}", b"") for i in range(80)]}, "at most 64 parts"),
        (
            {"change": lambda name: LINK if name == "report.md" else {}},
            "'report.md' is not a regular file",
        ),
        ({"compression": zipfile.ZIP_DEFLATED}, "is compressed, but must be stored"),
        ({"change": lambda name: {"filename": f"my-model/{name}"}}, "must have a plain file name"),
    ],
)
def test_a_zip_that_is_no_plain_bundle_is_refused(whole_zip, tmp_path, monkeypatch, how, message):
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    rewritten(whole_zip, Path("changed.zip"), **how)
    with pytest.raises(export.BundleError, match=message):
        export.load("changed.zip")
    assert [f for f in tmp_path.rglob("*") if f.is_file()] == [Path.cwd() / "changed.zip"]


def test_an_encrypted_entry_is_refused(whole_zip, tmp_path):
    content = bytearray(whole_zip.read_bytes())
    central = content.index(b"PK\1\2")
    content[central + 8] |= 1
    (tmp_path / "changed.zip").write_bytes(content)
    with pytest.raises(export.BundleError, match="is encrypted"):
        export.load(tmp_path / "changed.zip")


@pytest.mark.parametrize("keep", [0, 10, 3000, -1, -30])
def test_a_part_of_a_zip_is_refused(whole_zip, tmp_path, keep):
    (tmp_path / "changed.zip").write_bytes(whole_zip.read_bytes()[:keep])
    with pytest.raises(export.BundleError, match=r"changed\.zip is corrupted"):
        export.load(tmp_path / "changed.zip")
