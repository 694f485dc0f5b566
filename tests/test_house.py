"""The house: which way imports run, and that no folder's door is another's."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ABOVE = {"zoo": {"export", "recipes"}, "export": {"recipes"}, "recipes": set()}
BACKENDS = {"tensorflow", "tensorflow_text", "jax", "torch"}


def imports(file):
    """Absolute names of what a file of a package imports, anywhere in it."""
    package = f"seq2lite.{file.relative_to(ROOT).parts[0]}"
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: 3 - node.level]) if node.level else ""
            name = ".".join(part for part in (base, node.module) if part)
            yield from (f"{name}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", ABOVE)
def test_imports_run_one_way(folder):
    files = sorted((ROOT / folder).glob("*.py"))
    assert len(files) > 5
    for file in files:
        for name in imports(file):
            parts = name.split(".")
            assert parts[0] != "seq2lite" or parts[1] not in ABOVE[folder], f"{file}: {name}"
            assert folder != "zoo" or parts[0] not in BACKENDS, f"{file}: {name}"


def test_export_opens_without_tensorflow_and_keras():
    code = "import sys, seq2lite.export; sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_every_public_name_of_export_is_there():
    from seq2lite import export

    for name in export.__all__:
        assert getattr(export, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'to_onnx'"):
        export.to_onnx  # noqa: B018
