"""Log lines of TensorFlow."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

_LOG_LINE = re.compile(rb"[IWE]\d{4} \d|WARNING: All log messages before absl")


@contextlib.contextmanager
def without_startup_logs() -> Iterator[None]:
    """Drop the lines that TensorFlow 2.21 logs when it is imported; no setting of it prevents them."""
    with contextlib.ExitStack() as stack:
        try:
            stderr = os.dup(2)
            stack.callback(os.close, stderr)
            log = stack.enter_context(tempfile.TemporaryFile())
        except OSError:  # standard error is closed, or no temporary folder can be written
            yield
            return
        _flush()
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            _flush()
            os.dup2(stderr, 2)
            log.seek(0)
            kept = b"".join(line for line in log if not _LOG_LINE.match(line))
            if sys.stderr:
                sys.stderr.write(kept.decode(errors="backslashreplace"))


def _flush():
    if sys.stderr:  # None in a process that was started without standard error
        sys.stderr.flush()
