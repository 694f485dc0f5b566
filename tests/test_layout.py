"""The package layout: which way imports run, and which names may cross a folder."""

import ast
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("zoo", "export", "recipes")  # each may import those before it
BOTTOM = "export.runtime"  # all may import it
BACKENDS = {"tensorflow", "tensorflow_text", "jax", "torch"}
MAX_LINES, MAX_FILES = 350, 16
TOP = ROOT / "seq2lite"  # the commands, which may import all rooms
FILES = sorted(file for room in (*ROOMS, TOP) for file in (ROOT / room).rglob("*.py"))


def module_name(file):
    """Dotted name of a file of the package, without `seq2lite.`."""
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return name.removeprefix("seq2lite.")


MODULES = {module_name(file): file for file in FILES}


class WithoutTypes(ast.NodeTransformer):
    """A transformer that removes the imports of a type checker."""

    def visit_If(self, node):
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def imports(file):
    """(module, name) of everything that a file imports, anywhere in it; project names dotted."""
    package = file.relative_to(ROOT).parent.parts
    tree = WithoutTypes().visit(ast.parse(file.read_text("utf-8")))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.removeprefix("seq2lite."), None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            module = module.removeprefix("seq2lite").removeprefix(".")
            for alias in node.names:
                inner = f"{module}.{alias.name}".removeprefix(".")
                yield (inner, None) if inner in MODULES else (module, alias.name)


GRAPH = {
    name: {module for module, _ in imports(file) if module in MODULES} - {name}
    for name, file in MODULES.items()
}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def room_of(module):
    return module.partition(".")[0]


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_one_way_between_the_rooms(room):
    below = ROOMS[: ROOMS.index(room) + 1]
    files = [name for name in MODULES if room_of(name) == room]
    assert len(files) > 5
    for name in files:
        for module, _ in imports(MODULES[name]):
            is_below = room_of(module) not in set(ROOMS) - set(below)
            assert is_below or module.startswith(BOTTOM), f"{name} imports {module}"
            assert room != "zoo" or room_of(module) not in BACKENDS, f"{name} imports {module}"


def cycle(graph):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def test_no_file_imports_itself_through_others():
    # A package's own __init__ re-exports its files: what imports it must not be one of them.
    assert cycle(GRAPH) is None


@pytest.mark.parametrize("room", ROOMS)
def test_no_folder_imports_itself_through_others(room):
    folder = lambda name: MODULES[name].parent.relative_to(ROOT)  # noqa: E731
    graph = {}
    for name, imported in GRAPH.items():
        if room_of(name) == room and len(folder(name).parts) > 1:
            others = {folder(other) for other in imported if room_of(other) == room}
            graph.setdefault(folder(name), set()).update(
                other for other in others if len(other.parts) > 1 and other != folder(name)
            )
    assert cycle(graph) is None


def test_the_runtime_imports_nothing_else_of_the_project():
    for name in MODULES:
        if name.startswith(BOTTOM):
            for module, _ in imports(MODULES[name]):
                inside = room_of(module) not in ROOMS or module.startswith(BOTTOM)
                assert inside, f"{name} imports {module}"
                assert room_of(module) not in {*BACKENDS, "keras"}, f"{name} imports {module}"


def test_no_private_name_crosses_a_folder():
    for file in [*FILES, *sorted((ROOT / "benchmarks").glob("*.py"))]:
        for module, name in imports(file):
            folder = MODULES[module].parent if module in MODULES else None
            assert not (name and is_private(name)) or folder in (None, file.parent), (
                f"{file}: {module}.{name}"
            )


# Private names of os, Keras and named tuples, which have no public equivalent.
EXTERNAL_PRIVATE_NAMES = {"_exit", "_flatten_layers", "_replace"}


def foreign_private_accesses(code):
    """Yield each `object._name` that is neither on `self`, `cls` or `super()` nor the code's own.

    A name is the code's own if the code defines a function of that name or sets `self._name`. Names
    of an imported module or class are never its own.
    """
    nodes = list(ast.walk(ast.parse(code)))
    imported = {
        (alias.asname or alias.name).partition(".")[0]
        for node in nodes
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    accesses = [node for node in nodes if isinstance(node, ast.Attribute) and is_private(node.attr)]
    own |= {
        node.attr
        for node in accesses
        if isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }
    for node in accesses:
        owner = ast.unparse(node.value)
        if owner in {"self", "cls", "super()"} or node.attr in EXTERNAL_PRIVATE_NAMES:
            continue
        if owner in imported or node.attr not in own:
            yield f"{owner}.{node.attr}"


def test_no_private_attribute_of_another_file_is_used():
    for file in [*FILES, *sorted((ROOT / "benchmarks").glob("*.py"))]:
        found = list(foreign_private_accesses(file.read_text("utf-8")))
        assert not found, f"{file.relative_to(ROOT)}: {found}"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from ..data import pairs\npairs._read()", ["pairs._read"]),
        ("from ..data import pairs as p\nself._read = p._read", ["p._read"]),
        ("model.layer._cache = 1", ["model.layer._cache"]),
        ("model._cache", ["model._cache"]),
        ("self._cache = 1\nother._cache", []),
        ("def _cache(self): ...\nmodel._cache()", []),
        ("self._x + cls._x + super()._x + layer._flatten_layers() + x.__class__", []),
    ],
)
def test_private_attributes_are_found(code, found):
    assert list(foreign_private_accesses(code)) == found


def test_files_and_folders_stay_small():
    for file in FILES:
        lines = len(file.read_text("utf-8").splitlines())
        assert lines <= MAX_LINES, f"{file.relative_to(ROOT)}: {lines} lines"
    for folder in {file.parent for file in FILES}:
        files = [file for file in folder.glob("*.py") if file.name != "__init__.py"]
        assert len(files) <= MAX_FILES, f"{folder.relative_to(ROOT)}: {len(files)} files"


def test_every_folder_is_a_package_of_the_wheel():
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    folders = {".".join(file.parent.relative_to(ROOT).parts) for file in FILES}
    names = {f"seq2lite.{folder.removeprefix('seq2lite').removeprefix('.')}" for folder in folders}
    assert set(setup["packages"]) == {name.removesuffix(".") for name in names}


def test_nothing_imports_the_commands():
    for name, imported in GRAPH.items():
        if room_of(name) in ROOMS:
            assert "commands" not in {room_of(module) for module in imported}, name


def test_export_opens_without_tensorflow_and_keras():
    code = "import sys, seq2lite.export; sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_every_public_name_of_export_is_there():
    from seq2lite import export

    for name in export.__all__:
        assert getattr(export, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'to_onnx'"):
        export.to_onnx  # noqa: B018
