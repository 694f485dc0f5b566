"""The command line of a recipe, made from its Config."""

import argparse
import dataclasses
import os
import sys
import typing
from collections.abc import Callable
from pathlib import Path

from seq2lite.export.system.isolation import ConversionError
from seq2lite.export.verification.parity import ParityError
from seq2lite.here import python_here, seq2lite_here
from seq2lite.parser import Parser

from ..data.samples import shortened
from ..distributed import processes
from ..distributed.backend import can_export
from ..options import ConfigurationT, replace
from .config import RecipeConfig

RESUME = (
    "give the same command to resume from the last checkpoint, or to start again if none was "
    "written; add --finish to export the best checkpoint"
)


def run_recipe(
    description: str,
    config_class: type[ConfigurationT],
    train: Callable[[ConfigurationT], object],
    arguments: list[str] | None = None,
    after_stop: str = RESUME,
) -> None:
    """Read flags into a Config and run the recipe.

    A user's mistake (ValueError, OSError) or a refused export ends with one sentence and status 1.
    Under a backend that cannot export, process 0 trains and then becomes a second command that
    exports under TensorFlow: the same flags with `--finish`. `open_run` has printed it.

    Args:
        description: The recipe's docstring, for --help.
        config_class: Class of the Config, a dataclass; its option `batch_tokens` becomes the flag
            `--batch-tokens`.
        train: Function that runs the recipe, given the Config.
        arguments: Flags. Default: those of this process.
        after_stop: Advice after Ctrl-C. Default: resume with the same command.
    """
    flags = sys.argv[1:] if arguments is None else list(map(str, arguments))
    try:
        config = parse_config(description, config_class, flags)
        with processes.joined_processes():
            train(config)
            exports_next = processes.is_first() and not can_export()
    except (ValueError, OSError, ConversionError, ParityError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"stopped; {after_stop}", file=sys.stderr)
        sys.exit(130)
    if exports_next:
        _export_under_tensorflow([*_module_arguments(train), *flags, "--finish"])


def export_command(config: RecipeConfig) -> str:
    """Return the shell command that exports and scores a trained run under TensorFlow.

    Args:
        config: The recipe's Config.

    Example:
        >>> from seq2lite.recipes import translate
        >>> from seq2lite.recipes.run.command_line import export_command
        >>> export_command(translate.Config.of(epochs=3)).split()[-4:]
        ['translate', '--epochs', '3', '--finish']
    """
    defaults = type(config)()  # type: ignore[call-arg]
    if init_from := config.fine_tuning.init_from:
        defaults = replace(type(config).of(init_from=init_from), init_from="")
    flags = _flags(replace(config, finish=True, overwrite=False), defaults)
    name, *command = program(type(config))
    here = seq2lite_here if name == "seq2lite" else python_here
    return f"KERAS_BACKEND=tensorflow {here(*command, *flags)}"


def _flags(options, defaults):
    """Yield the flags of all options that differ from their defaults."""
    for field in dataclasses.fields(options):
        value, default = getattr(options, field.name), getattr(defaults, field.name)
        if dataclasses.is_dataclass(value):
            yield from _flags(value, default)
        elif "help" in field.metadata and value != default:
            if isinstance(value, bool):
                yield _flag(field) if value else _flag(field).replace("--", "--no-", 1)
            else:
                yield _flag(field)
                yield from map(str, value if isinstance(value, tuple) else [value])


def _flag(field):
    return "--" + field.name.replace("_", "-")


def _export_under_tensorflow(command):
    """Replace this process by a command that exports what it has trained, and frees its memory."""
    environment = os.environ | {"KERAS_BACKEND": "tensorflow"}
    for name in (processes.ADDRESS, processes.NUM_PROCESSES, processes.PROCESS_ID):
        environment.pop(name, None)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *command], environment)


def _module_arguments(owned):
    """Return what follows `python` in the command line of a recipe, given its `train` or Config."""
    if owned.__module__ != "__main__":
        return ["-m", owned.__module__]
    spec = sys.modules["__main__"].__spec__
    return ["-m", spec.name] if spec else [sys.argv[0]]


def program(owned: object) -> list[str]:
    """Return the command of a recipe without its flags, such as `seq2lite translate`.

    Args:
        owned: The recipe's `train` or Config.
    """
    return _as_typed(_module_arguments(owned))


def process_command() -> list[str]:
    """Return the command of this process as a user types it, flags included."""
    spec, flags = sys.modules["__main__"].__spec__, sys.argv[1:]
    if Path(sys.argv[0]).stem == "seq2lite" or (spec and spec.name == "seq2lite.__main__"):
        return ["seq2lite", *flags]
    return [*_as_typed(["-m", spec.name] if spec else [sys.argv[0]]), *flags]


def _as_typed(arguments):
    """Return a command, given what follows `python` in it; recipes are commands of `seq2lite`."""
    package, _, name = arguments[-1].rpartition(".")
    return ["seq2lite", name] if package == "seq2lite.recipes" else ["python", *arguments]


def parse_config(
    description: str, config_class: type[ConfigurationT], arguments: list[str] | None = None
) -> ConfigurationT:
    """Parse flags into a Config.

    Args:
        description: Text of --help.
        config_class: Class of the Config; a field that is a dataclass is a group of flags.
        arguments: Flags. Default: those of this process.

    Returns:
        An instance of `config_class`.
    """
    parser = Parser(" ".join(program(config_class)), description)
    _add_flags(parser, config_class())
    # Only the flags that are given: other options may have other defaults then.
    values = vars(parser.parse_args(arguments))
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
    return config_class.of(**values)


def _add_flags(parser, options):
    """Add a flag for each option, in a group of flags for each group of options."""
    for field in dataclasses.fields(options):
        default = getattr(options, field.name)
        if dataclasses.is_dataclass(default):
            _add_flags(parser.add_argument_group(field.name.replace("_", "-")), default)
        elif "help" in field.metadata:
            _add_flag(parser, field, default)


def _add_flag(parser, field, default):
    flag, text = _flag(field), field.metadata["help"]
    if default not in ((), ""):
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        text += shortened(f" (default: {shown})")
    default = argparse.SUPPRESS
    text = text.replace("%", "%%")
    if field.type is bool:
        action = argparse.BooleanOptionalAction
        parser.add_argument(flag, action=action, default=default, help=text)
    elif typing.get_origin(field.type) is tuple:
        item = typing.get_args(field.type)[0]
        parser.add_argument(flag, nargs="*", type=item, default=default, help=text)
    else:
        parser.add_argument(flag, type=field.type, default=default, help=text)
