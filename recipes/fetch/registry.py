"""Files of PyPI, by the index that pip would ask."""

import html
import os
import re
import urllib.parse

from .download import FetchError, require_address, shown

PYPI = "https://pypi.org/simple"


def default_index():
    """`$PIP_INDEX_URL`, or PyPI's own."""
    return os.environ.get("PIP_INDEX_URL") or PYPI


def pypi_file(cache, index, package, file, sha256):
    """The path of one file of one version; its checksum is pinned here, whatever an index says.

    Raises:
        FetchError: The index cannot be reached, or has not got it.
    """
    name = f"pypi/{package}/{file}"
    if cache.has(name, sha256):  # no need to ask where it would come from
        return cache.get("", name, sha256)
    require_address("pypi", index)
    page = f"{index.rstrip('/')}/{package}/"
    public = shown(page)
    text = cache.get(page, f"pypi/{package}/index.html").read_text("utf-8", "replace")
    for link in re.findall(r"""href=["']([^"']+)["']""", text):
        url = urllib.parse.urljoin(public, html.unescape(link)).partition("#")[0]
        if urllib.parse.unquote(url).rpartition("/")[2] == file:
            same_host = urllib.parse.urlsplit(url)[:2] == urllib.parse.urlsplit(public)[:2]
            netloc = urllib.parse.urlsplit(page if same_host else url).netloc
            return cache.get(
                urllib.parse.urlsplit(url)._replace(netloc=netloc).geturl(), name, sha256
            )
    raise FetchError(f"{public} must list {file}. Received: an index without it")
