"""`python -m seq2lite.recipes list`, and `cp`: what recipes there are, and one to make your own of.

python -m seq2lite.recipes list
python -m seq2lite.recipes cp translate my_translate.py
"""

import argparse
import ast
import sys
from pathlib import Path

RECIPES = ("translate", "summarize", "ask", "pronounce", "generate", "distill")


def main(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m seq2lite.recipes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every recipe, and what it does")
    copy = commands.add_parser("cp", help="copy a recipe; the copy runs: python my_recipe.py")
    copy.add_argument("recipe", choices=RECIPES)
    copy.add_argument("path", help="file to write, which must not exist")
    options = parser.parse_args(arguments)
    if options.command == "list":
        for name in RECIPES:
            print(f"{name:<12}{_first_line(name)}")
        return
    try:
        with Path(options.path).open("x", encoding="utf-8") as file:
            file.write(_source(options.recipe))
    except FileExistsError:
        sys.exit(f"error: `path` must be a new file. Received: {options.path}, which exists")
    except OSError as error:
        sys.exit(f"error: {options.path} could not be written: {error}")
    print(f"python {options.path} --help")


def _source(name):
    return (Path(__file__).parent / f"{name}.py").read_text("utf-8")


def _first_line(name):
    return ast.get_docstring(ast.parse(_source(name))).splitlines()[0]


if __name__ == "__main__":
    main()
