"""Errors of fetching a data set."""

import errno
from pathlib import Path


class FetchError(Exception):
    """A data set cannot be fetched.

    It is no `ValueError`, because pooch retries a download after one.
    """


class UnreachableError(FetchError):
    """A server does not answer, or does not have the file."""


def disk_error(error: OSError, folder: Path) -> FetchError:
    """Describe a failed read or write in a local folder."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FetchError(f"The disk of {folder} is full. No incomplete file was left there")
    return FetchError(f"{folder} must be a writable folder. Received: {error}")
