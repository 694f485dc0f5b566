"""The commands of `seq2lite`, and the first line of their help, without importing their modules."""

import ast
from importlib.util import find_spec
from pathlib import Path

RECIPES = ("translate", "summarize", "ask", "pronounce", "generate", "distill")
# Modules by the name of their command, in the groups of the help.
GROUPS = {
    "Run a bundle": {name: f"seq2lite.commands.{name}" for name in ("run", "check", "info")},
    "Train and export": {
        **{name: f"seq2lite.recipes.{name}" for name in (*RECIPES, "demo")},
        "export": "seq2lite.commands.export",
        "fetch": "seq2lite.recipes.fetch.__main__",
        "cp": "seq2lite.commands.cp",
        "list": "seq2lite.commands.list",
    },
}
COMMANDS = {name: module for group in GROUPS.values() for name, module in group.items()}


def source_of(module: str) -> str:
    """Return the source code of a module of this package, without importing it.

    Example:
        >>> from seq2lite.commands.table import source_of
        >>> source_of("seq2lite.recipes.translate").splitlines()[0]
        '\"\"\"Machine translation: a sentence to its translation.'
    """
    root, folder, *names = module.split(".")
    spec = find_spec(f"{root}.{folder}")
    assert spec and spec.origin
    return Path(spec.origin).parent.joinpath(*names).with_suffix(".py").read_text("utf-8")


def summary(module: str) -> str:
    """Return the first line of a module's docstring, without importing it."""
    docstring = ast.get_docstring(ast.parse(source_of(module)))
    assert docstring
    return docstring.splitlines()[0]
