"""Faults at any of the calls by which files are written: an error, or the end of the process."""

import contextlib
import errno
import fcntl
import io
import os
import signal
from unittest import mock

from seq2lite.export.runtime.container import read_container, write_container
from seq2lite.export.system import atomic

# Of the operating system; besides: a write, the end of a file, and the exchange of two in one step.
CALLS = ("mkdir", "open", "close", "fsync", "rename", "scandir", "unlink", "rmdir")

DESCRIPTION = {
    "max_source_length": 40,
    "max_target_length": 12,
    "search": {"num_beams": 1, "length_penalty": 1.0},
}
NAMES = ("model.tflite", "tokenizer.model", "golden.json", "report.md")


def full_disk():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def fault(at=None, act=full_disk, exchange=True):
    """For the time of a `with`, `act` at the call number `at`, from 0; gives the calls so far.

    `exchange`: whether this system can exchange two files in one step.
    """
    calls = []

    def point(name):
        calls.append(name)
        if len(calls) - 1 == at:
            act()

    def faulty(owner, name, after=False):
        function = getattr(owner, name)

        def call(*arguments, **named):
            if after:  # what fails to close is closed
                function(*arguments, **named)
                return point(name)
            point(name)
            return function(*arguments, **named)

        return mock.patch.object(owner, name, call)

    class File(io.FileIO):
        def write(self, content):
            written = super().write(memoryview(content)[: len(content) // 2])
            point("write")
            return written + super().write(memoryview(content)[written:])

        def close(self):
            was_open = not self.closed
            super().close()
            if was_open:
                point("close file")

    open_file = io.open

    def open_any(file, mode="r", *arguments, **named):
        if "b" not in mode or mode == "rb":
            return open_file(file, mode, *arguments, **named)
        point("open file")
        return File(file, mode)

    with contextlib.ExitStack() as stack:
        for name in CALLS:
            stack.enter_context(faulty(os, name, after=name == "close"))
        stack.enter_context(faulty(fcntl, "flock"))
        stack.enter_context(mock.patch.object(io, "open", open_any))
        if not exchange:
            stack.enter_context(
                mock.patch.object(atomic, "exchange_atomically", lambda a, b: False)
            )
        stack.enter_context(faulty(atomic, "exchange_atomically"))
        yield calls


def export_stub(path, content):
    """Write a bundle as `to_bundle` does after converting and measuring."""
    parts = dict.fromkeys(NAMES, content * 1000)
    atomic.write_atomically(
        path, lambda made: write_container(made, DESCRIPTION, parts, path.suffix == ".zip")
    )


def content_of(path):
    """The content of a bundle of `export_stub`, every part checked by its checksum."""
    (content,) = {part[: len(part) // 1000] for part in read_container(path).parts.values()}
    return content


def snapshot(path):
    return path.read_bytes() if path.is_file() else {f.name: f.read_bytes() for f in path.iterdir()}
