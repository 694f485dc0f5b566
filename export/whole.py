"""Files and folders that appear whole or not at all."""

import ctypes
import errno
import os
import shutil
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def write_whole(path, write):
    """Calls `write(partial)`, then puts what it made at `path`, in place of what was there.

    What stood at `path` stays as it was until the new one is complete and on the disk: a crash, a
    kill or a full disk at any moment leaves it whole. (Where a system cannot exchange two folders in
    one step, which Linux can, there is a moment between two renames when a kill leaves the old one
    beside its place, under a name that begins with a dot.)

    Args:
        path: File or folder to write.
        write: Takes a path beside `path` that does not exist, and makes it.
    """
    path = Path(os.path.realpath(path))  # through a link, to what it names
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        write(partial)
        for made in [partial, *partial.rglob("*")]:
            _flush_to_disk(made)
        if path.exists() and path.is_dir() != partial.is_dir():
            raise OSError(errno.EEXIST, "a folder and a file do not replace each other", str(path))
        if path.is_dir():
            _exchange(partial, path)
        else:
            os.replace(partial, path)
        _flush_to_disk(path.parent)
    finally:
        # Half of the new one, or after an exchange all of the old one.
        _remove(partial)


def _exchange(a, b):
    """Swaps two folders in one step where the system can, in two renames where it cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is not None:
        if rename(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0:
            return
        if ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(b))
    aside = a.with_name(a.name + "-old")
    os.rename(b, aside)
    os.rename(a, b)
    os.rename(aside, a)


def _flush_to_disk(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(path):
    """Removes what killed processes left beside `path`."""
    for partial in path.parent.glob(f".{path.name}.partial-*"):
        process = partial.name.rpartition("-")[2]
        if process.isdigit() and not _is_running(int(process)):
            _remove(partial)


def _is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
