"""Work that can kill or hang a process, done in another one."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys

PACKAGE = "seq2lite.export"
_EXPLAINED = 64  # exit status of a process whose last line says what went wrong


class ConversionError(RuntimeError):
    """A model could not be converted, or its file could not be run."""


def run_isolated(module, *arguments, timeout):
    """Runs `python -m seq2lite.export.MODULE ARGUMENTS...`.

    Args:
        module: A module of `seq2lite.export`, such as "conversion.converter".
        arguments: Its command line.
        timeout: Seconds after which it is killed.

    Raises:
        ConversionError: It failed, crashed or took too long.
    """
    command = [sys.executable, "-m", f"{PACKAGE}.{module}", *map(str, arguments)]
    # In a session of its own, so that what it has started can be ended with it.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            _, said = process.communicate(timeout=timeout)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise ConversionError(
                f"{module} must end within {timeout} s. Received: no result, and it was stopped"
            ) from error
    if process.returncode == _EXPLAINED:
        raise ConversionError(_end_of(said, lines=1))
    if process.returncode < 0:
        raise ConversionError(
            f"{module} was ended by {_signal_name(-process.returncode)}:\n{_end_of(said)}"
        )
    if process.returncode:
        raise ConversionError(f"{module} failed:\n{_end_of(said)}")


@contextlib.contextmanager
def explained(*errors):
    """In the other process: what went wrong, if it is one of `errors`, as one line."""
    _end_with_parent()
    try:
        yield
    except errors as error:
        print(" ".join(str(error).split()), file=sys.stderr, flush=True)
        sys.exit(_EXPLAINED)


def _end_with_parent():
    """Lets this process be killed when that which started it ends, where the system can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _end_of(text, lines=12):
    return "\n".join(text.strip().splitlines()[-lines:])


def _signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals but the first and the last have none
        return f"signal {number}"
