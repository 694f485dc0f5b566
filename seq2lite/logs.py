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
    with tempfile.TemporaryFile() as log:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            log.seek(0)
            sys.stderr.write("".join(line.decode() for line in log if not _LOG_LINE.match(line)))
