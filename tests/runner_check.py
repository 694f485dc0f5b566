"""Check of the runner alone: the wheel with its base dependencies runs a bundle, without TensorFlow.

Run by `make wheel` in a new environment with the wheel, with the bundle of `wheel_check.py`.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from seq2lite import export

MAX_SIZE = 200e6  # bytes of the environment, without pip
BUNDLE = sys.argv[1]
COMMAND = Path(sys.executable).with_name("seq2lite")


def seq2lite(*arguments, stdin=None):
    return subprocess.run(
        [COMMAND, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def installed_size():
    folders = [path for path in map(Path, sys.path) if path.is_relative_to(sys.prefix)]
    files = {file for folder in folders for file in folder.rglob("*") if file.is_file()}
    tools = {"pip", "setuptools", "pkg_resources"}
    return sum(file.stat().st_size for file in files if not tools & {*file.parts})


for package in ("tensorflow", "keras", "matplotlib", "rich", "sacrebleu"):
    assert find_spec(package) is None, package
assert 0 < installed_size() < MAX_SIZE, installed_size()
# The model has random weights: its targets may contain line breaks, which `run` prints as spaces.
targets = export.load(BUNDLE).generate(["Open File", "Close"])
expected = ["".join(" " if c.splitlines() == [""] else c for c in target) for target in targets]
assert seq2lite("run", BUNDLE, "Open File", "Close").stdout.split("\n") == [*expected, ""]
assert seq2lite("run", BUNDLE, stdin="Open File\nClose\n").stdout.split("\n") == [*expected, ""]
assert "golden sentences: ids equal" in seq2lite("check", BUNDLE).stdout
for path in (BUNDLE, f"{BUNDLE}/model.tflite"):
    assert "signature generate" in seq2lite("info", path).stdout
assert "transformer_tiny" in seq2lite("list").stdout
for command in ("translate", "demo", "export", "fetch"):
    done = seq2lite(command, "x")
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "pip install 'seq2lite[train]'" in done.stderr
print(f"the runner alone, {installed_size() / 1e6:.0f} MB, runs a bundle without TensorFlow")
