"""List the recipes, the presets and the quantization modes."""

import ast
from collections.abc import Iterator, Sequence

from seq2lite.commands.table import COMMANDS, RECIPES, source_of, summary
from seq2lite.parser import Parser


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    Parser("seq2lite list", __doc__).parse_args(arguments)
    _print("Recipes", {name: summary(COMMANDS[name]) for name in RECIPES})
    _print("Presets, for --preset", dict(presets()))
    _print("Quantization modes, for --quantizations", dict(modes()))


def presets() -> Iterator[tuple[str, str]]:
    """Yield the name and the settings of each preset.

    The table is read from its source code: importing it would import Keras.
    """
    for node in ast.parse(source_of("seq2lite.zoo.presets")).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "PRESETS":
            assert node.value
            for name, settings in sorted(ast.literal_eval(node.value).items()):
                builder = settings.pop("builder")
                shown = " ".join(f"{key}={value}" for key, value in settings.items())
                yield name, f"{builder}: {shown}"


def modes() -> Iterator[tuple[str, str]]:
    """Yield the name of each quantization mode and the format of its weights; see `presets`."""
    for node in ast.walk(ast.parse(source_of("seq2lite.export.quantization.modes"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Mode":
            fields = {field.arg: field.value for field in node.keywords}
            static = "; static shapes" if "is_static" in fields else ""
            yield ast.literal_eval(fields["name"]), ast.literal_eval(fields["weights"]) + static


def _print(title, lines):
    width = max(map(len, lines)) + 2
    print(f"{title}:")
    for name, text in lines.items():
        print(f"  {name:<{width}}{text}")
    print(flush=True)
