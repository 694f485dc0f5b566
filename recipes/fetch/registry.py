"""Files of the Python Package Index, or of another index of its form."""

import html
import os
import re
import urllib.parse
from pathlib import Path

from .addresses import hide_credentials, require_address
from .download import Cache, Download
from .errors import FetchError

PYPI = "https://pypi.org/simple"


def default_index() -> str:
    """The index that pip uses: `$PIP_INDEX_URL`, or PyPI."""
    return os.environ.get("PIP_INDEX_URL") or PYPI


def pypi_file(cache: Cache, index: str, package: str, file: str, sha256: str) -> Path:
    """Download one file of a package.

    Args:
        cache: `Cache`.
        index: Str, address of the index.
        package: Str, normalized name of the package.
        file: Str, name of the file.
        sha256: Str of hexadecimal digits, the file's checksum. It is known beforehand, so that an
            index need not be trusted.

    Raises:
        FetchError: The index cannot be reached, or does not list the file.
    """
    name = f"pypi/{package}/{file}"
    # The index is not needed for a cached file.
    url = "" if cache.has(name, sha256) else _find_link(cache, index, package, file)
    return cache.get([Download(url, name, sha256)], file)[0]


def _find_link(cache: Cache, index: str, package: str, file: str) -> str:
    """Address of a file in the page of its package.

    One link of a known name needs no HTML parser. `pypi-simple` would add pydantic and Beautiful
    Soup to read it.
    """
    require_address("pypi", index)
    page = f"{index.rstrip('/')}/{package}/"
    public = hide_credentials(page)
    text = cache.refresh(page, f"pypi/{package}/index.html").read_text("utf-8", "replace")
    for link in re.findall(r"""href=["']([^"']+)["']""", text):
        url = urllib.parse.urljoin(public, html.unescape(link)).partition("#")[0]
        if urllib.parse.unquote(url).rpartition("/")[2] == file:
            parts = urllib.parse.urlsplit(url)
            if parts[:2] == urllib.parse.urlsplit(public)[:2]:  # no password for another host
                parts = parts._replace(netloc=urllib.parse.urlsplit(page).netloc)
            return parts.geturl()
    raise FetchError(f"{public} must list {file}. Received: an index without it")
