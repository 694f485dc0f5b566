"""Atomic writes: a file or folder is replaced completely or not at all."""

import contextlib
import ctypes
import errno
import glob
import os
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
# Names inside a scratch folder: the lock of its owner, and the files that `_exchange` has moved aside.
_LOCK, _OLD = ".seq2lite-lock", ".old"


def write_atomically(path, write):
    """Write a file or folder to a temporary place, then move it to `path` in one step.

    The previous content of `path` stays until the new one is complete and flushed to disk. A crash,
    a kill, a full disk or an error therefore leaves it unchanged. On systems that cannot exchange
    two files in one step (Linux can), a kill between two renames leaves the previous content beside
    `path`; the next call restores it.

    Args:
        path: File or folder to write. A symbolic link stays, and its target is written.
        write: Called with a path of the same name that does not exist yet; creates it.

    Raises:
        OSError: Writing failed, or a file would replace a folder or a folder a file.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}.partial-"
    with scratch_folder(prefix, path.parent, lambda left: _restore(left, path)) as scratch:
        partial = scratch / path.name
        write(partial)
        for file in [partial, *partial.rglob("*")]:
            _flush_to_disk(file)
        existed = path.exists()
        if existed and path.is_dir() != partial.is_dir():
            raise OSError(errno.EEXIST, "a folder and a file do not replace each other", str(path))
        # The scratch folder is removed at the end, with a partial result or the previous content.
        _exchange(partial, path) if existed else os.rename(partial, path)
        try:
            _flush_to_disk(path.parent)
        except OSError:
            _exchange(partial, path) if existed else os.rename(path, partial)
            raise


def write_bytes(path, content):
    """Write a file with `write_atomically`."""
    write_atomically(path, lambda partial: partial.write_bytes(content))


def write_text(path, text):
    """Write a UTF-8 text file with `write_atomically`."""
    write_bytes(path, text.encode())


def check_parents(path):
    """Raise ValueError unless `path` can be created: everything above it must be a folder."""
    above = next(f for f in Path(path).absolute().parents if os.path.lexists(f))
    if not above.is_dir():
        raise ValueError(f"`path` must be in a folder. Received: {path}, but {above} is a file")


@contextlib.contextmanager
def scratch_folder(prefix=".seq2lite-tmp-", parent=None, rescue=None):
    """Create a temporary folder for the duration of a `with` block.

    Folders that killed processes left behind are removed first. The owner of a folder holds a lock
    in it, and the operating system releases that lock when the process ends.

    Args:
        prefix: Start of the folder's name, and of the names of folders that were left behind.
        parent: Folder to create it in. Default: the system's folder for temporary files.
        rescue: Called with each folder that was left behind, before it is removed.

    Yields:
        The `Path` of the folder.
    """
    parent = Path(tempfile.gettempdir() if parent is None else parent)
    for left in parent.glob(f"{glob.escape(prefix)}*"):
        if left.is_symlink():
            continue
        with contextlib.suppress(OSError), _locked(left, timeout=0):
            if rescue is not None:
                rescue(left)
            shutil.rmtree(left)
    with contextlib.ExitStack() as stack:
        yield _create_locked(prefix, parent, stack)


def _create_locked(prefix, parent, stack):
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        stack.callback(_remove, folder)
        # Another process may have removed the folder before the lock in it was acquired.
        with contextlib.suppress(FileNotFoundError):
            stack.enter_context(_locked(folder))
            if (folder / _LOCK).exists():
                return folder


def _remove(folder):
    # A failed close raises in spite of `ignore_errors`. The next call removes what remains.
    with contextlib.suppress(OSError):
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder, timeout=-1):
    lock = FileLock(folder / _LOCK, timeout=timeout)
    lock.acquire()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder is removed, and the lock with it
            lock.release()


def _restore(left, path):
    """Move the previous content back to `path` after a kill between the renames of `_exchange`."""
    old = left / _OLD
    if old.exists() and not path.exists():
        os.rename(old, path)


def _exchange(a, b):
    """Swap two files or folders: atomically where the system can, otherwise by renames."""
    if exchange_atomically(a, b):
        return
    old = a.parent / _OLD
    with contextlib.ExitStack() as undo:
        os.rename(b, old)
        undo.callback(os.rename, old, b)
        os.rename(a, b)
        undo.callback(os.rename, b, a)
        os.rename(old, a)
        undo.pop_all()


def exchange_atomically(a, b):
    """Swap two files or folders in one step. Return False where the system cannot (Linux can)."""
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
