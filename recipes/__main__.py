"""List the recipes, or copy one as a starting point for your own.

python -m seq2lite.recipes list
python -m seq2lite.recipes cp translate my_translate.py
python my_translate.py --help
"""

import argparse
import ast
import sys
from pathlib import Path

RECIPES = ("translate", "summarize", "ask", "pronounce", "generate", "distill")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m seq2lite.recipes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="list the recipes")
    copy = commands.add_parser("cp", help="copy a recipe to a new file")
    copy.add_argument("recipe", choices=RECIPES, help="name of the recipe")
    copy.add_argument("path", help="file to write; it must not exist")
    options = parser.parse_args(arguments)
    if options.command == "list":
        for name in RECIPES:
            print(f"{name:<12}{_summary(name)}")
        return
    try:
        with Path(options.path).open("x", encoding="utf-8") as file:
            file.write(_source(options.recipe))
    except FileExistsError:
        sys.exit(f"error: `path` must not exist. Received: {options.path}. Give another name")
    except OSError as error:
        sys.exit(f"error: `path` must be writable. Received: {error}")
    print(f"Run it with: python {options.path} --help")


def _source(name):
    return (Path(__file__).parent / f"{name}.py").read_text("utf-8")


def _summary(name):
    """Return the first line of a recipe's docstring."""
    return ast.get_docstring(ast.parse(_source(name))).splitlines()[0]


if __name__ == "__main__":
    main()
