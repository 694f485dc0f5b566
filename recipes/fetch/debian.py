"""A Debian mirror, read over HTTPS: no apt, no dpkg, no root."""

import bz2
import functools
import lzma
import re
import urllib.parse

from .archives import members
from .download import FetchError, require_address, shown

MIRROR = "https://deb.debian.org/debian"
SUITE = "bookworm"


class Debian:
    """One suite's indices and packages.

    The checksums of a mirror's files stand in its `InRelease`. That file's own signature is not
    checked here: what vouches for it is HTTPS.

    Args:
        cache: A `Cache`.
        mirror: Address of the mirror; what stands below it is the same everywhere.
    """

    def __init__(self, cache, mirror=MIRROR):
        self.cache = cache
        self.mirror = mirror.rstrip("/")
        require_address("mirror", self.mirror)

    @functools.cached_property
    def _release(self):
        path = f"dists/{SUITE}/InRelease"
        file = self.cache.get(f"{self.mirror}/{path}", f"debian/{path}")
        text = file.read_text("utf-8", "replace")
        version = re.search(r"^Version: (\S+)", text, re.M)
        sums = {name: sha for sha, name in re.findall(r"^ ([0-9a-f]{64}) +\d+ (\S+)", text, re.M)}
        if not version or not sums:
            raise FetchError(f"{shown(self.mirror)}/{path} must be a Debian release file")
        return version[1], sums

    @property
    def version(self):
        """The point release, such as `12.15`."""
        return self._release[0]

    def index(self, name):
        """Text of an index, such as `main/i18n/Translation-en`; None where there is none."""
        for ending, decompress in ((".xz", lzma.decompress), (".bz2", bz2.decompress)):
            sha256 = self._release[1].get(name + ending)
            if sha256 is not None:
                path = f"dists/{SUITE}/{name}{ending}"
                file = self.cache.get(f"{self.mirror}/{path}", f"debian/{path}", sha256)
                return decompress(file.read_bytes()).decode()
        return None

    @functools.cached_property
    def packages(self):
        """Every package of `main` for amd64 or for all: its name to a dict of its fields."""
        found = (fields(block) for block in self.index("main/binary-amd64/Packages").split("\n\n"))
        return {package["Package"]: package for package in found if package}

    def get(self, names, description):
        """Downloads packages; those that the suite has not got are passed over.

        Returns:
            A list of (fields, path), in the order of the names.
        """
        chosen = [self.packages[name] for name in names if name in self.packages]
        wanted = [
            (
                f"{self.mirror}/{urllib.parse.quote(package['Filename'])}",
                f"debian/{package['Filename']}",
                package["SHA256"],
                int(package["Size"]),
            )
            for package in chosen
        ]
        return list(zip(chosen, self.cache.get_all(wanted, description), strict=True))


def fields(block):
    """A paragraph of Debian's control format: a dict of str; continued lines keep their newlines.

    Example:
        >>> from seq2lite.recipes.fetch.debian import fields
        >>> fields("Package: hello\\nDescription: greets\\n everyone\\n")
        {'Package': 'hello', 'Description': 'greets\\n everyone'}
    """
    found = re.findall(r"^([A-Za-z0-9_.@-]+):[ \t]*(.*(?:\n[ \t].*)*)", block, re.M)
    return dict(found)


def copyright_of(path, package):
    """A package's licence in short, and its whole copyright file: two str.

    The short form is what `Files: *` says in a machine-readable copyright file.
    """
    name = f"usr/share/doc/{package}/copyright"
    text = next((c.decode("utf-8", "replace") for _, c in members(path, name.__eq__)), "")
    for block in text.split("\n\n"):
        of = fields(block)
        if of.get("Files", "").strip() == "*" and "License" in of:
            return of["License"].strip().split("\n")[0] or "see the copyright file", text
    return "see the copyright file", text
