"""Isolation of work that can crash or hang: it runs in a subprocess with a time limit."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import traceback
from contextvars import ContextVar
from importlib import import_module

PACKAGE = "seq2lite.export"
_EXPECTED = 64  # exit status after a ConversionError; the last line of stderr is its message
_IN_PROCESS = ContextVar("in_process", default=False)


class ConversionError(RuntimeError):
    """A model cannot be converted, or its file cannot be run."""


@contextlib.contextmanager
def in_process():
    """Let `run_isolated` call `main` in this process: without isolation, but without its cost.

    For tests: a subprocess takes seconds to import TensorFlow. Errors are the same; a crash or an
    endless loop is not caught.
    """
    token = _IN_PROCESS.set(True)
    try:
        yield
    finally:
        _IN_PROCESS.reset(token)


def run_isolated(module, *arguments, timeout):
    """Run the function `main` of a module in a subprocess.

    Args:
        module: A module of `seq2lite.export`, such as `"conversion.converter"`. It ends with
            `if __name__ == "__main__": run_main(main)`.
        arguments: Arguments of `main`, passed as strings.
        timeout: Seconds after which the subprocess is killed.

    Raises:
        ConversionError: The work failed, crashed or took too long.
    """
    if not _IN_PROCESS.get():
        run_in_subprocess(module, *arguments, timeout=timeout)
        return
    try:
        import_module(f"{PACKAGE}.{module}").main(*map(str, arguments))
    except ConversionError:
        raise
    except Exception as error:
        raise ConversionError(f"{module} failed:\n{_tail(traceback.format_exc())}") from error


def run_in_subprocess(module, *arguments, timeout):
    """Run like `run_isolated`, but in a subprocess even within `in_process()`.

    For measurements, which depend on the memory and the threads of a process of their own.
    """
    command = [sys.executable, "-m", f"{PACKAGE}.{module}", *map(str, arguments)]
    # A session of its own, so that the processes that it starts can be killed with it.
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
            _, stderr = process.communicate(timeout=timeout)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise ConversionError(
                f"{module} must end within {timeout} s. Received: no result, and it was stopped"
            ) from error
    if process.returncode == _EXPECTED:
        raise ConversionError(_tail(stderr, lines=1))
    if process.returncode < 0:
        raise ConversionError(
            f"{module} was ended by {_signal_name(-process.returncode)}:\n{_tail(stderr)}"
        )
    if process.returncode:
        raise ConversionError(f"{module} failed:\n{_tail(stderr)}")


def run_main(main):
    """Run `main` with the command line's arguments, as the subprocess of `run_isolated`.

    Args:
        main: Function of strings. The message of its ConversionError reaches the parent process.
    """
    _end_with_parent()
    try:
        main(*sys.argv[1:])
    except ConversionError as error:
        print(" ".join(str(error).split()), file=sys.stderr, flush=True)
        sys.exit(_EXPECTED)


@contextlib.contextmanager
def conversion_errors(*errors):
    """Raise ConversionError in place of `errors`, with their message in one line."""
    try:
        yield
    except errors as error:
        raise ConversionError(" ".join(str(error).split())) from error


def _end_with_parent():
    """Let this process be killed when its parent process ends, where the system can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _tail(text, lines=12):
    return "\n".join(text.strip().splitlines()[-lines:])


def _signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals other than the first and the last have no name
        return f"signal {number}"
