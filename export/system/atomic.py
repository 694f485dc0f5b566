"""Files and folders that appear whole or not at all."""

import contextlib
import ctypes
import errno
import fcntl
import glob
import os
import shutil
import tempfile
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


_OLD = ".old"  # in a scratch folder: what an exchange of three renames has put aside


def write_whole(path, write):
    """Calls `write(partial)`, then puts what it made at `path`, in place of what was there.

    What stood at `path` stays as it was until the new one is complete and on the disk: a crash, a
    kill or a full disk at any moment leaves it whole, and so does any error raised here. (Where a
    system cannot exchange two files in one step, which Linux can, there is a moment between two
    renames when a kill leaves the old one beside its place; the next call puts it back.)

    Args:
        path: File or folder to write.
        write: Takes a path that does not exist, of the same name, and makes it.
    """
    path = Path(os.path.realpath(path))  # through a link, to what it names
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(
        f".{path.name}.partial-", path.parent, lambda f: _put_back(f, path)
    ) as work:
        partial = work / path.name
        write(partial)
        for made in [partial, *partial.rglob("*")]:
            _flush_to_disk(made)
        existed = path.exists()
        if existed and path.is_dir() != partial.is_dir():
            raise OSError(errno.EEXIST, "a folder and a file do not replace each other", str(path))
        # What is in the scratch folder at its end is removed: half of the new one, or all of the old.
        _exchange(partial, path) if existed else os.rename(partial, path)
        try:
            _flush_to_disk(path.parent)
        except OSError:
            _exchange(partial, path) if existed else os.rename(path, partial)
            raise


def check_parents(path):
    """Raises ValueError where `path` cannot be made, because something above it is no folder."""
    above = next(f for f in Path(path).absolute().parents if os.path.lexists(f))
    if not above.is_dir():
        raise ValueError(f"`path` must be in a folder. Received: {path}, but {above} is none")


@contextlib.contextmanager
def scratch_folder(prefix=".seq2lite-scratch-", parent=None, rescue=None):
    """A folder for the time of a `with`, as a `Path`; first removes those that killed processes left.

    Its owner holds a lock on it, which ends with the process, however that ends.

    Args:
        prefix: How its name, and that of those left behind, begins.
        parent: Folder to make it in. Default: that of temporary files.
        rescue: Called with a folder that was left behind, before it is removed.
    """
    parent = Path(tempfile.gettempdir() if parent is None else parent)
    for left in parent.glob(f"{glob.escape(prefix)}*"):
        with contextlib.suppress(OSError), _locked(left, wait=False):
            if rescue is not None:
                rescue(left)
            shutil.rmtree(left)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            # Before the lock was taken, another process may have found it without, and removed it.
            with _locked(folder, wait=True):
                if folder.exists():
                    yield folder
                    return
        finally:
            with contextlib.suppress(OSError):  # the next call removes what stays
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder, wait):
    """Holds the lock of a folder; BlockingIOError if another has it and `wait` is false."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        with contextlib.suppress(OSError):  # nothing was written through it
            os.close(descriptor)


def _put_back(left, path):
    """Gives a kill between the two renames of `_exchange` its old file back."""
    aside = left / _OLD
    if aside.exists() and not path.exists():
        os.rename(aside, path)


def _exchange(a, b):
    """Swaps two files or folders: in one step where the system can, in renames where it cannot."""
    if _exchange_at_once(a, b):
        return
    aside = a.parent / _OLD
    with contextlib.ExitStack() as undo:
        os.rename(b, aside)
        undo.callback(os.rename, aside, b)
        os.rename(a, b)
        undo.callback(os.rename, b, a)
        os.rename(aside, a)
        undo.pop_all()


def _exchange_at_once(a, b):
    """Whether the system could: Linux can, on most file systems."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0:
        return True
    if ctypes.get_errno() in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(b))


def _flush_to_disk(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
