"""The console command `seq2lite`; `python -m seq2lite` is the same.

A command is a module with a function `main(arguments)`, which is imported when it is called. So
`--help` and a misspelled command need neither TensorFlow nor Keras.
"""

import contextlib
import difflib
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from seq2lite import __version__
from seq2lite.commands.table import COMMANDS, GROUPS, summary
from seq2lite.logs import without_startup_logs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Args:
        arguments: The command and its arguments. Default: those of this process.
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    with warnings.catch_warnings():
        warnings.showwarning = _print_warning
        try:
            return _run(name, rest) or 0
        except BrokenPipeError:
            # The reader has closed the pipe, for example `head`; that is not an error.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except KeyboardInterrupt:
            return 130
        except (ValueError, OSError, ImportError) as error:  # a user's mistake: one sentence
            _print_error(f"error: {error}")
            return 1


def _run(name, arguments):
    """Run a command and return its exit status, or None."""
    if name == "help" and arguments:
        return _run(arguments[0], ["--help"])
    if name in ("-h", "--help", "help"):
        print(_help(), flush=True)
        return 0
    if name == "--version":
        print(f"seq2lite {__version__}", flush=True)
        return 0
    if name in COMMANDS:
        is_recipe = COMMANDS[name].startswith("seq2lite.recipes.")  # imports TensorFlow
        with without_startup_logs() if is_recipe else contextlib.nullcontext():
            module = import_module(COMMANDS[name])
        return module.main(arguments)
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    advice = f"Did you mean {close[0]}?" if close else "`seq2lite --help` describes each"
    _print_error(
        f"error: the command must be one of {', '.join(COMMANDS)}. Received: {name}. {advice}"
    )
    return 2


def _help():
    lines = ["usage: seq2lite COMMAND …", "", "`seq2lite COMMAND --help` lists its options."]
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {name:<11}{summary(module)}" for name, module in commands.items()]
    lines += ["", "Training and export need the extra `train`: pip install 'seq2lite[train]'"]
    return "\n".join(lines)


def _print_warning(message, *_, **__):
    _print_error(f"warning: {message}")


def _print_error(line):
    if sys.stderr:  # else `print` would write to standard output, among the targets
        print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
