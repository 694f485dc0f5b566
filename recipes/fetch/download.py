"""Downloads into a cache, each file whole or not at all, by its checksum."""

import base64
import contextlib
import errno
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from seq2lite.export.system.atomic import write_atomically

TRIES = 3
TIMEOUT = 60  # seconds without a byte
CHUNK = 1 << 16


class FetchError(ValueError):
    """A data set cannot be fetched; the message says why, and what to do."""


def default_cache():
    """Folder of downloads: `$XDG_CACHE_HOME/seq2lite`, or `~/.cache/seq2lite`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seq2lite"


class Cache:
    """Downloaded files, kept by their path at the origin.

    Args:
        folder: Where they are kept.
        offline: Takes nothing from the network: what is not kept is an error.
    """

    def __init__(self, folder=None, offline=False):
        self.folder = Path(folder or default_cache())
        self.offline = offline
        self.used = {}  # name → SHA-256, of every file that was asked for

    def has(self, name, sha256):
        """Whether a file is here, and is the one of that checksum."""
        path = self.folder / name
        return path.is_file() and _sha256(path) == sha256

    def get(self, url, name, sha256=None):
        """The path of one file, downloaded where the cache has not got it.

        Args:
            url: Where it comes from.
            name: Its path in the cache.
            sha256: Checksum, in hexadecimal digits. None: the origin states none; the file is
                downloaded anew, and what the cache has is used only where the network is not there.

        Raises:
            FetchError: It cannot be reached, or is another file than expected.
        """
        with self._progress() as progress:
            return self._get(url, name, sha256, progress, progress.add_task("", total=None))

    def get_all(self, wanted, description):
        """Many files over a few connections, with one progress bar: a list of paths.

        Args:
            wanted: List of (url, name, sha256, size in bytes).
            description: What they are, for the bar.
        """
        with self._progress() as progress, ThreadPoolExecutor(4) as pool:
            task = progress.add_task(description, total=sum(size for *_, size in wanted))
            jobs = [
                pool.submit(self._get, url, name, sha256, progress, task)
                for url, name, sha256, _ in wanted
            ]
            try:
                return [job.result() for job in jobs]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _get(self, address, name, sha256, progress, task):
        url, headers = without_credentials(address)
        path = self.folder / name
        kept = path.is_file()
        if sha256 and self.has(name, sha256):
            progress.advance(task, path.stat().st_size)
        elif not (self.offline and kept and not sha256):
            try:
                self._download(url, headers, path, sha256, progress, task)
            except FetchError:
                if not kept or sha256:
                    raise
                progress.console.print(f"{url} cannot be reached: using what was kept of it")
        self.used[name] = _sha256(path)
        return path

    def _download(self, url, headers, path, sha256, progress, task):
        if self.offline:
            raise FetchError(f"{url} is not in {self.folder}, and --offline asks for no download")

        def write(partial):
            request = urllib.request.Request(url)
            for header in headers.items():
                request.add_unredirected_header(*header)  # another host is not told the password
            with (
                urllib.request.urlopen(request, timeout=TIMEOUT) as answer,
                open(partial, "wb") as out,
            ):
                length = int(answer.headers.get("Content-Length") or 0)
                if sha256 is None:
                    progress.update(task, description=Path(url).name, total=length or None)
                while chunk := answer.read(CHUNK):
                    out.write(chunk)
                    progress.advance(task, len(chunk))
                if length and out.tell() != length:
                    raise ConnectionError(f"it broke off after {out.tell()} of {length} bytes")
            received = _sha256(partial)
            if sha256 and received != sha256:
                raise FetchError(
                    f"{url} must have the SHA-256 {sha256}. Received: {received}. A mirror that is "
                    "being updated, or something between it and here, gave another file"
                )

        for attempt in range(1, TRIES + 1):
            try:
                return write_atomically(path, write)
            except (OSError, http.client.HTTPException) as error:
                problem = getattr(error, "reason", None) or error
                gone = isinstance(error, urllib.error.HTTPError) and error.code < 500
                local = isinstance(error, OSError) and error.errno in _LOCAL
                if local:
                    raise FetchError(disk_sentence(error, self.folder)) from error
                if gone or attempt == TRIES:
                    raise FetchError(
                        f"{url} cannot be reached: {problem}. What came so far is kept in "
                        f"{self.folder}; the same command goes on from there"
                    ) from error
            time.sleep(attempt)

    @contextlib.contextmanager
    def _progress(self):
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        console = Console(stderr=True)
        with Progress(
            *columns,
            TransferSpeedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as progress:
            yield progress


def require_address(name, address):
    """Raises FetchError unless it is an address to download from; a password in it is not shown.

    Args:
        name: Of the option.
        address: What it says.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        parts.port  # noqa: B018  # raises where it is no number
        # An @ after the host is that of a password with a / or # of its own.
        is_right = parts.hostname and "@" not in parts.path + parts.query + parts.fragment
        is_right = parts.scheme == "file" or (parts.scheme in ("https", "http") and is_right)
    except ValueError:
        is_right = False
    if not is_right:
        hint = ", in whose user and password each of /?#[]@ is percent-encoded" * ("@" in address)
        received = shown(address)
        if "@" in received:
            received = "one with an @ that is not before its host"
        raise FetchError(f"`{name}` must be an https:// address{hint}. Received: {received}")


def shown(address):
    """An address without `user:password@`, whatever else is wrong with it."""
    return re.sub(r"(^|//)[^/]*@", r"\1", address, count=1)


def without_credentials(url):
    """An address that may be shown, and the headers that say what `user:password@` in it said.

    Example:
        >>> from seq2lite.recipes.fetch.download import without_credentials
        >>> without_credentials("https://me:secret@host/simple")
        ('https://host/simple', {'Authorization': 'Basic bWU6c2VjcmV0'})
    """
    said, at, _ = urllib.parse.urlsplit(url).netloc.rpartition("@")
    if not at:
        return url, {}
    said = base64.b64encode(urllib.parse.unquote(said).encode()).decode()
    return shown(url), {"Authorization": f"Basic {said}"}


_LOCAL = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


def disk_sentence(error, folder):
    """What an OSError of this machine's own disk says to the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk of {folder} is full. Nothing half-written was left there"
    return f"{folder} must be a folder that can be written. Received: {error}"


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
