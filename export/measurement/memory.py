"""The time and memory that it takes to open a file and run it, without TensorFlow, as on a device."""

import resource
import sys
import time
from pathlib import Path

from ..runtime.engine import FileEngine
from ..runtime.interpreter import ModelFile


def measure_memory(path, source, max_length, how, ids):
    """Open a file and run its search once, on one thread.

    Args:
        path: Path of the file.
        source: `(1, source_length)` ids or `(1, source_length, features)`.
        max_length: int, maximum number of tokens to generate.
        how: `"mapped"`: the runtime maps the file; `"read"`: the process reads it, as `load` does to
            verify its checksum.
        ids: dict of `pad_id`, `start_id`, `end_id` and `padding`, the value that pads sources.

    Returns:
        dict of `load_seconds` (opening and allocation), `first_run_seconds`, and the increase of
        memory in bytes: `resident` after the first run, `mapped`, the part of it that consists of
        file pages (the system can drop them, and processes share them), and `peak`, the maximum.
    """
    before, mapped_before, _ = _resident()
    start = time.perf_counter()
    path = Path(path)
    engine = FileEngine(ModelFile(path if how == "mapped" else path.read_bytes(), 1, path), ids)
    engine.max_tokens = None  # only time and memory matter, not the tokens
    loaded = time.perf_counter()
    engine.greedy(source, max_length)
    ended = time.perf_counter()
    after, mapped, peak = _resident()
    return {
        "load_seconds": loaded - start,
        "first_run_seconds": ended - loaded,
        "resident": after - before,
        "mapped": mapped - mapped_before,
        "peak": peak - before,
    }


def _resident():
    """Read the resident bytes of this process, its file pages, and the peak so far."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # other systems than Linux report the peak only
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak = peak if sys.platform == "darwin" else peak * 1024
        return peak, 0, peak
    sizes = {line.split()[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
    # The maximum of getrusage is inherited from the parent process.
    return sizes["VmRSS:"], sizes["RssFile:"], sizes["VmHWM:"]
