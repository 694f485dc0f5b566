"""Packages and indices of a Debian mirror, read without apt, dpkg or root."""

import bz2
import functools
import lzma
import re
import tarfile
import urllib.parse
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from debian.deb822 import Deb822, Release
from debian.debfile import ArError, DebFile

from .addresses import hide_credentials, require_address
from .download import Cache, Download
from .errors import FetchError

MIRROR = "https://deb.debian.org/debian"
SUITE = "bookworm"
_FIELDS = ["Package", "Version", "Source", "Depends", "Pre-Depends", "Filename", "Size", "SHA256"]
_CORRUPTED = (ArError, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, ValueError, OSError)
# The format ends lines at "\n" alone, but Deb822 refuses values with other line boundaries.
_LINE_BOUNDARY = re.compile("[\r\v\f\x1c-\x1e\x85\u2028\u2029]")


class Debian:
    """One suite of a mirror.

    `InRelease` contains the checksums of the indices, and an index those of the packages. The
    signature of `InRelease` is not verified: HTTPS authenticates the mirror.

    Args:
        cache: `Cache`.
        mirror: Str, address of the mirror.

    Raises:
        FetchError: `mirror` is not an address.
    """

    def __init__(self, cache: Cache, mirror: str = MIRROR):
        require_address("mirror", mirror)
        self._cache = cache
        self._mirror = mirror.rstrip("/")

    @functools.cached_property
    def _release(self) -> Release:
        path = f"dists/{SUITE}/InRelease"
        file = self._cache.refresh(f"{self._mirror}/{path}", f"debian/{path}")
        release = Release(file.read_bytes())
        if not ("Version" in release and "SHA256" in release):
            raise FetchError(
                f"{hide_credentials(self._mirror)}/{path} must be a Debian release file. "
                "Received: a file without a version or checksums"
            )
        return release

    @property
    def version(self) -> str:
        """The point release, such as `12.15`."""
        return self._release["Version"]

    def index(self, name: str) -> str | None:
        """Download an index of the suite.

        Args:
            name: Str, its path without the ending, such as `main/i18n/Translation-en`.

        Returns:
            Its text, or None if the suite does not have it.
        """
        entries = {entry["name"]: entry for entry in self._release["SHA256"]}
        for ending, decompress in ((".xz", lzma.decompress), (".bz2", bz2.decompress)):
            if entry := entries.get(name + ending):
                path = f"dists/{SUITE}/{name}{ending}"
                file = self._download(path, entry["sha256"], entry["size"])
                (cached,) = self._cache.get([file], name)
                return decompress(cached.read_bytes()).decode()
        return None

    @functools.cached_property
    def packages(self) -> dict[str, Deb822]:
        """Fields of each package of `main` for amd64, by name."""
        index = self.index("main/binary-amd64/Packages")
        if index is None:
            raise FetchError(
                f"{hide_credentials(self._mirror)} must have packages for amd64. Received: a "
                "mirror without their index"
            )
        return {package["Package"]: package for package in paragraphs(index, _FIELDS)}

    def get(self, names: Sequence[str], description: str) -> list[tuple[Deb822, Path]]:
        """Download packages.

        Args:
            names: Sequence of str. Names that the suite does not have are ignored.
            description: Str, the label of the progress bar.

        Returns:
            `(fields, path)` of each package, in the order of `names`.
        """
        chosen = [self.packages[name] for name in names if name in self.packages]
        files = [self._download(p["Filename"], p["SHA256"], p["Size"]) for p in chosen]
        return list(zip(chosen, self._cache.get(files, description), strict=True))

    def _download(self, path: str, sha256: str, size: str) -> Download:
        url = f"{self._mirror}/{urllib.parse.quote(path)}"
        return Download(url, f"debian/{path}", sha256, int(size))


def paragraphs(text: str, fields: list[str] | None = None) -> Iterator[Deb822]:
    """Parse text in the format of Debian's control files.

    Args:
        text: Str, paragraphs with an empty line between them.
        fields: List of str, names of the fields to read. Default: all.

    Yields:
        The fields of each paragraph that has any. Names are case-insensitive. The lines of a value
        keep their indentation.

    Example:
        >>> from seq2lite.recipes.fetch.debian import paragraphs
        >>> text = "Package: hello\\nDescription: greets\\n everyone\\n\\nPackage: bye\\n"
        >>> [dict(paragraph) for paragraph in paragraphs(text)]
        [{'Package': 'hello', 'Description': 'greets\\n everyone'}, {'Package': 'bye'}]
    """
    text = _LINE_BOUNDARY.sub(" ", text.replace("\r\n", "\n"))
    # `Deb822.iter_paragraphs` stops at a paragraph without fields, which copyright files contain.
    for block in text.split("\n\n"):
        lines = block.split("\n")
        if paragraph := Deb822(lines, fields, strict={"whitespace-separates-paragraphs": False}):
            yield paragraph


def read_package(
    path: Path, wanted: Callable[[str], bool], part: str = "data"
) -> Iterator[tuple[str, bytes]]:
    """Read files from a `.deb` package without unpacking it to disk.

    Args:
        path: Path of the package. One compressed by Zstandard needs the program `unzstd`.
        wanted: Function of a name without a leading `./`. It returns whether to read the file.
        part: `data`, the installed files, or `control`, the package's metadata. Default: `data`.

    Yields:
        `(name, content)` of each wanted regular file.

    Raises:
        FetchError: The package is corrupted, or `unzstd` is missing.
    """
    try:
        with DebFile(path) as package:
            archive = getattr(package, part).tgz()
            for member in archive:
                name = str(member.name).removeprefix("./")
                if member.isfile() and wanted(name):
                    yield name, archive.extractfile(member).read()
    except _CORRUPTED as error:
        raise FetchError(f"{path} must be a Debian package. Received: {error}") from error


def license_of(path: Path, package: str) -> tuple[str, str]:
    """Read the license of a package.

    Args:
        path: Path of the package.
        package: Str, its name.

    Returns:
        The license's short name and the text of the copyright file. The short name is that of
        `Files: *` in a machine-readable copyright file.
    """
    name = f"usr/share/doc/{package}/copyright"
    text = next((c.decode("utf-8", "replace") for _, c in read_package(path, name.__eq__)), "")
    unknown = "see the copyright file"
    for paragraph in paragraphs(text):
        if paragraph.get("Files", "").strip() == "*" and "License" in paragraph:
            return paragraph["License"].strip().partition("\n")[0] or unknown, text
    return unknown, text
