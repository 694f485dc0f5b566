"""A recipe's command line, made from its Config."""

import argparse
import dataclasses
import sys
import typing

from seq2lite.export.system.isolation import ConversionError
from seq2lite.export.verification.parity import ParityError

from ..distributed import processes

GOES_ON = (
    "the same command goes on from the last checkpoint, and with --finish exports the best round"
)


def run_recipe(description, config_class, run, arguments=None, after_stop=GOES_ON):
    """Reads flags into a Config and runs the recipe.

    A user's mistake (ValueError, OSError, a refused export) ends with one sentence and status 1.

    Args:
        description: The recipe's docstring, for --help.
        config_class: Frozen dataclass; a field `batch_tokens` becomes `--batch-tokens`.
        run: Takes the Config.
        arguments: List of str. Default: the command line.
        after_stop: What is said of how it goes on after Ctrl-C.
    """
    try:
        config = parse_config(description, config_class, arguments)
        flags = sys.argv[1:] if arguments is None else map(str, arguments)
        with processes.run([*_program(run), *flags]):
            run(config)
    except (ValueError, OSError, ConversionError, ParityError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"stopped; {after_stop}", file=sys.stderr)
        sys.exit(130)


def _program(run):
    """What follows `python` in the command line of the recipe that `run` is of."""
    return program() if run.__module__ == "__main__" else ["-m", run.__module__]


def program():
    """What follows `python` in the command line of this process."""
    spec = sys.modules["__main__"].__spec__
    return ["-m", spec.name] if spec else [sys.argv[0]]


def parse_config(description, config_class, arguments=None):
    """The Config that `arguments` (default: the command line) ask for.

    A field that is a dataclass itself, such as `Training`, is a group of flags.
    """
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_flags(parser, config_class)
    return _filled(config_class, vars(parser.parse_args(arguments)))


def _add_flags(parser, group):
    """The flags of a Config's class, or of a dataclass that is a field's default."""
    for field in dataclasses.fields(group):
        default = getattr(group, field.name)
        if dataclasses.is_dataclass(default):
            _add_flags(parser.add_argument_group(field.name), default)
            continue
        flag = "--" + field.name.replace("_", "-")
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        text = field.metadata.get("help", "")
        if default not in ((), ""):
            text += f" (default: {shown})"
        text = text.strip().replace("%", "%%")
        if field.type is bool:
            parser.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=default, help=text
            )
        elif typing.get_origin(field.type) is tuple:
            item = typing.get_args(field.type)[0]
            parser.add_argument(flag, nargs="*", type=item, default=default, help=text)
        else:
            parser.add_argument(flag, type=field.type, default=default, help=text)


def _filled(group, values):
    """`group` with the flags' values, and those of the groups in it."""
    given = {}
    for field in dataclasses.fields(group):
        default = getattr(group, field.name)
        if dataclasses.is_dataclass(default):
            given[field.name] = _filled(default, values)
        else:
            value = values[field.name]
            given[field.name] = tuple(value) if isinstance(value, list) else value
    return group(**given) if isinstance(group, type) else type(group)(**given)
