"""Downloads into a cache folder with pooch: verified by checksum, complete or absent."""

import dataclasses
import functools
import logging
import os
import shutil
import ssl
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pooch
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from .addresses import split_credentials
from .errors import FetchError, UnreachableError, disk_error

NUM_RETRIES = 2
NUM_CONNECTIONS = 4
TIMEOUT = 60  # seconds without a byte

pooch.get_logger().setLevel(logging.WARNING)  # its messages would interrupt the progress bar


@dataclasses.dataclass(frozen=True)
class Download:
    """A file to download.

    Args:
        url: Str, its address.
        name: Str, its path in the cache.
        sha256: Str of hexadecimal digits, its checksum.
        size: Int, its bytes. Default: 0, unknown to the progress bar.
    """

    url: str
    name: str
    sha256: str
    size: int = 0


class Cache:
    """A folder of downloaded files.

    Args:
        folder: Path. Default: `default_cache()`.
        offline: Bool. If True, a file that is not in the folder is an error. Default: False.

    Attributes:
        requested: Dict of str, the SHA-256 of each requested file by name.
    """

    def __init__(self, folder: str | Path | None = None, offline: bool = False):
        self.folder = Path(folder or default_cache())
        self.offline = offline
        self.requested: dict[str, str] = {}

    def has(self, name: str, sha256: str) -> bool:
        """Whether the folder contains a file with this checksum."""
        path = self.folder / name
        return path.is_file() and pooch.file_hash(path) == sha256

    def get(self, downloads: list[Download], description: str) -> list[Path]:
        """Download the files that the folder does not contain, several at a time.

        Args:
            downloads: List of `Download`.
            description: Str, the label of the progress bar.

        Returns:
            The path of each file.

        Raises:
            FetchError: A server cannot be reached, a checksum differs, or the disk is full.
        """
        with _progress() as progress, ThreadPoolExecutor(NUM_CONNECTIONS) as pool:
            task = progress.add_task(description, total=sum(d.size for d in downloads) or None)
            advance = functools.partial(progress.advance, task)
            jobs = [
                pool.submit(self._fetch, d.url, d.name, d.sha256, _FileProgress(advance))
                for d in downloads
            ]
            try:
                paths = [job.result() for job in jobs]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self.requested |= {download.name: download.sha256 for download in downloads}
        return paths

    def refresh(self, url: str, name: str) -> Path:
        """Download the current version of a small file that has no known checksum.

        The cached version is used offline, and where the server cannot be reached.

        Args:
            url: Str, its address.
            name: Str, its path in the cache.

        Raises:
            FetchError: The server cannot be reached and the file is not cached, or the disk is
                full.
        """
        path = self.folder / name
        if not (self.offline and path.is_file()):
            new = path.with_name(f"{path.name}.new")  # pooch keeps any file that has no checksum
            try:
                new.unlink(missing_ok=True)
                os.replace(self._fetch(url, f"{name}.new"), path)
            except UnreachableError as error:
                if not path.is_file():
                    raise
                print(f"{error}. Its cached copy is used", file=sys.stderr)
            except OSError as error:
                raise disk_error(error, self.folder) from error
        self.requested[name] = pooch.file_hash(path)
        return path

    def _fetch(
        self,
        address: str,
        name: str,
        sha256: str | None = None,
        progress: "_FileProgress | None" = None,
    ) -> Path:
        url, credentials = split_credentials(address)
        path = self.folder / name
        store = pooch.create(
            self.folder, "", registry={name: sha256}, urls={name: url}, retry_if_failed=NUM_RETRIES
        )
        downloader: Callable = pooch.HTTPDownloader(
            progressbar=progress or False,
            chunk_size=1 << 16,
            timeout=TIMEOUT,
            auth=credentials,
            verify=_certificates(),
            headers={"Accept-Encoding": "identity"},  # checksums are those of the file as it is
        )
        if url.startswith("file:"):
            downloader = _copy_local_file
        if self.offline:
            downloader = self._refuse
        try:
            # Two threads of pooch may not create one folder at the same time.
            path.parent.mkdir(parents=True, exist_ok=True)
            store.fetch(name, processor=_share, downloader=downloader)
            if progress:  # cached files count too
                progress.reset()
                progress.update(path.stat().st_size)
        except requests.RequestException as error:
            raise UnreachableError(f"{url} cannot be reached: {_reason(error)}") from error
        except OSError as error:
            raise disk_error(error, self.folder) from error
        except ValueError as error:
            raise FetchError(
                f"{url} must have its known checksum. {error} A mirror may be inconsistent while it "
                "is updated: try again later, or use another one"
            ) from error
        return path

    def _refuse(self, url: str, *_: object) -> None:
        raise FetchError(f"{url} must be in {self.folder} to be used with --offline")


def default_cache() -> Path:
    """The user's cache folder: `~/.cache/seq2lite` on Linux, or below `$XDG_CACHE_HOME`."""
    return pooch.os_cache("seq2lite")


class _FileProgress:
    """One file's part of a shared progress bar, with the methods that pooch calls."""

    def __init__(self, advance: Callable[[int], None]):
        self._advance, self._done = advance, 0

    def update(self, count: int) -> None:
        self._advance(count)
        self._done += count

    def reset(self) -> None:
        self.update(-self._done)

    def close(self) -> None:
        pass


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _share(path: str, action: str, _: object) -> str:
    """Let other users read a new file of a shared cache: pooch makes it private."""
    if action != "fetch":
        os.chmod(path, 0o644)
    return path


def _copy_local_file(url: str, output_file: str, _: object) -> None:
    """Read a `file://` address, which pooch does not."""
    try:
        shutil.copyfile(urllib.request.url2pathname(urllib.parse.urlsplit(url).path), output_file)
    except FileNotFoundError as error:
        raise UnreachableError(f"{url} must be a file: {error.strerror}") from error


def _certificates() -> str | bool:
    """The system's certificates, which include those of a company's own network.

    Without this, requests uses its own list.
    """
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath or True


def _reason(error: BaseException) -> str:
    """The first cause of an error of requests, whose own message describes its internals."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code} {response.reason}"
    while cause := error.__cause__ or error.__context__:
        error = cause
    return str(error)
