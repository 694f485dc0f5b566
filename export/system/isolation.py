"""Isolation of work that can crash or hang: it runs in a subprocess with a time limit."""

import contextlib
import ctypes
import os
import pickle
import signal
import subprocess
import sys
import traceback
from contextvars import ContextVar
from pathlib import Path

from ..runtime.container import BundleError
from .atomic import scratch_folder

_IN_PROCESS = ContextVar("in_process", default=False)
_WORK = "from seq2lite.export.system.isolation import work; work()"


class ConversionError(RuntimeError):
    """A model cannot be converted, or its file cannot be run."""


@contextlib.contextmanager
def in_process():
    """Let `run_isolated` call the function in this process: without isolation, but without its cost.

    For tests: a subprocess takes seconds to import TensorFlow. Errors are the same; a crash or an
    endless loop is not caught.
    """
    token = _IN_PROCESS.set(True)
    try:
        yield
    finally:
        _IN_PROCESS.reset(token)


def run_isolated(function, /, *arguments, timeout, **named):
    """Call a function in a subprocess, and return its result.

    Arguments and result are pickled. The subprocess imports the module of the function, without
    TensorFlow if that module does not import it. A file can thus be run as on a device.

    Args:
        function: A function of a module.
        arguments: Its arguments.
        timeout: Seconds after which the subprocess is killed.
        named: Its keyword arguments.

    Raises:
        ConversionError: The function failed, crashed, took too long or returned no result.
    """
    if not _IN_PROCESS.get():
        return run_in_subprocess(function, *arguments, timeout=timeout, **named)
    try:
        result = _call(function, arguments, named)
    except Exception as error:
        message = f"`{function.__name__}` failed:\n{_tail(traceback.format_exc())}"
        raise ConversionError(message) from error
    return _returned(result)


def run_in_subprocess(function, /, *arguments, timeout, **named):
    """Run like `run_isolated`, but in a subprocess even within `in_process()`.

    For measurements, which depend on the memory and the threads of a process of their own.
    """
    name = f"`{function.__name__}`"
    with scratch_folder() as folder:
        given, result = folder / "arguments", folder / "result"
        given.write_bytes(pickle.dumps((function, arguments, named)))
        # A session of its own, so that the processes that it starts can be killed with it.
        with subprocess.Popen(
            [sys.executable, "-c", _WORK, given, result],
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
                    f"{name} must end within {timeout} s. Received: no result, and it was stopped"
                ) from error
        if process.returncode < 0:
            raise ConversionError(
                f"{name} was ended by {_signal_name(-process.returncode)}:\n{_tail(stderr)}"
            )
        if process.returncode:
            raise ConversionError(f"{name} failed:\n{_tail(stderr)}")
        if not result.exists():
            last = _tail(stderr).rpartition("\n")[2]
            raise ConversionError(
                f"{name} must return a result. Received: none, and as last output {last!r}"
            )
        return _returned(pickle.loads(result.read_bytes()))


def work():
    """Call a function as the subprocess of `run_in_subprocess`."""
    if sys.platform == "linux":  # this process is killed when its parent process ends
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    given, result = map(Path, sys.argv[1:])
    content = pickle.dumps(_call(*pickle.loads(given.read_bytes())))
    try:
        result.write_bytes(content)
    except OSError as error:  # a full disk
        result.unlink(missing_ok=True)
        print(f"The result cannot be written: {error}", file=sys.stderr)


def _call(function, arguments, named):
    """Return the result of a function, or a ConversionError in place of an expected error."""
    try:
        return function(*arguments, **named)
    except (ConversionError, BundleError, OSError) as error:
        return ConversionError(" ".join(str(error).split()))


def _returned(result):
    if isinstance(result, ConversionError):
        raise result
    return result


def _tail(text):
    return "\n".join(text.strip().splitlines()[-12:])


def _signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals other than the first and the last have no name
        return f"signal {number}"
