"""Commands that can be pasted where this process runs, even if its environment is not active."""

import shlex
import shutil
import sys
from pathlib import Path


def seq2lite_here(*arguments: str) -> str:
    """Return a `seq2lite` command of this environment.

    Args:
        *arguments: The command and its arguments.
    """
    script = Path(sys.executable).with_name("seq2lite")
    if not script.is_file():
        return python_here("-m", "seq2lite", *arguments)
    return _join(script, arguments)


def python_here(*arguments: str) -> str:
    """Return a command of this environment's Python.

    Args:
        *arguments: Arguments of Python.
    """
    return _join(Path(sys.executable), arguments)


def _join(program, arguments):
    """Name a program by its name if the shell finds it, or by its path from the current folder."""
    if (found := shutil.which(program.name)) and Path(found) == program:
        name = program.name
    else:
        folder = Path.cwd()
        name = str(program.relative_to(folder) if program.is_relative_to(folder) else program)
        if name == program.name:  # a shell searches for a name without a slash in PATH alone
            name = f"./{name}"
    return shlex.join([name, *arguments])
