"""Copy a recipe to a new file, as a starting point for your own.

seq2lite cp translate my_translate.py
python my_translate.py --help
"""

from collections.abc import Sequence
from pathlib import Path

from seq2lite.commands.table import COMMANDS, RECIPES, source_of
from seq2lite.here import python_here
from seq2lite.parser import Parser


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    parser = Parser("seq2lite cp", __doc__)
    parser.add_argument("recipe", choices=RECIPES, help="name of the recipe")
    parser.add_argument("path", help="file to write; it must not exist")
    options = parser.parse_args(arguments)
    try:
        with Path(options.path).open("x", encoding="utf-8") as file:
            file.write(source_of(COMMANDS[options.recipe]))
    except FileExistsError:
        raise ValueError(
            f"`path` must not exist. Received: {options.path}. Give another name"
        ) from None
    except OSError as error:
        raise ValueError(f"`path` must be writable. Received: {error}") from error
    print(f"Run it with: {python_here(options.path, '--help')}")
