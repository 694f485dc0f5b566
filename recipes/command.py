"""A recipe's command line, made from its Config."""

import argparse
import dataclasses
import sys
import typing

from ..export.isolation import ConversionError
from ..export.parity import ParityError


def run_recipe(description, config_class, run, arguments=None):
    """Reads flags into a Config and runs the recipe.

    A user's mistake (ValueError, OSError, a refused export) ends with one sentence and status 1.

    Args:
        description: The recipe's docstring, for --help.
        config_class: Frozen dataclass; a field `batch_tokens` becomes `--batch-tokens`.
        run: Takes the Config.
        arguments: List of str. Default: the command line.
    """
    config = None
    try:
        config = parse_config(description, config_class, arguments)
        run(config)
    except (ValueError, OSError, ConversionError, ParityError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        goes_on = not getattr(config, "overwrite", True)
        more = "; the same command goes on from the last epoch" if goes_on else ""
        print(f"stopped{more}", file=sys.stderr)
        sys.exit(130)


def parse_config(description, config_class, arguments=None):
    """The Config that `arguments` (default: the command line) ask for."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for field in dataclasses.fields(config_class):
        flag = "--" + field.name.replace("_", "-")
        text = field.metadata.get("help", "")
        text = f"{text} (default: {field.default})".strip().replace("%", "%%")
        if field.type is bool:
            parser.add_argument(flag, action="store_true", help=text)
        elif typing.get_origin(field.type) is tuple:
            item = typing.get_args(field.type)[0]
            parser.add_argument(flag, nargs="+", type=item, default=field.default, help=text)
        else:
            parser.add_argument(flag, type=field.type, default=field.default, help=text)
    values = vars(parser.parse_args(arguments))
    return config_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
