"""Work that can kill or hang a process, done in another one."""

import contextlib
import signal
import subprocess
import sys

_EXPLAINED = 64  # exit status of a process whose last line says what went wrong


class ConversionError(RuntimeError):
    """A model could not be converted, or its file could not be run."""


def run_isolated(module, *arguments, timeout):
    """Runs `python -m module arguments...`.

    Args:
        module: A module of this package, relative, such as ".convert".
        arguments: Its command line.
        timeout: Seconds after which it is killed.

    Raises:
        ConversionError: It failed, crashed or took too long.
    """
    command = [sys.executable, "-m", f"{__package__}{module}", *map(str, arguments)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConversionError(
            f"{module[1:]} must end within {timeout} s. Received: no result, and it was stopped"
        ) from error
    if done.returncode == _EXPLAINED:
        raise ConversionError(_end_of(done.stderr, lines=1))
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ConversionError(f"{module[1:]} was ended by {name}:\n{_end_of(done.stderr)}")
    if done.returncode:
        raise ConversionError(f"{module[1:]} failed:\n{_end_of(done.stderr)}")


@contextlib.contextmanager
def explained(*errors):
    """In the other process: what went wrong, if it is one of `errors`, as one line."""
    try:
        yield
    except errors as error:
        print(" ".join(str(error).split()), file=sys.stderr, flush=True)
        sys.exit(_EXPLAINED)


def _end_of(text, lines=12):
    return "\n".join(text.strip().splitlines()[-lines:])
