"""Summaries: package descriptions of Debian to their synopses."""

import argparse
import re
from collections.abc import Iterator

from debian.deb822 import Deb822

from .dataset import DataSet, Origin
from .debian import Debian, paragraphs
from .download import Cache
from .split import split

TITLE = "package descriptions to their one-line synopses"
DOWNLOAD = "15 MB"
SIZES = {"test": 1000, "valid": 2000}
LICENCE = "as the packaging of each package (mostly GPL-2.0-or-later, MIT, BSD); see the notes"


def build(cache: Cache, options: argparse.Namespace) -> DataSet:
    """Build the rows `(description, synopsis, package, source package)`."""
    debian = Debian(cache, options.mirror)
    sources = {name: source_of(package) for name, package in debian.packages.items()}
    rows: dict[tuple[str, str], tuple[str, ...]] = {}
    for name, _, synopsis, texts in descriptions(debian, "en"):
        text = " ".join(texts)
        if name in sources and len(text.split()) >= 12 and len(synopsis.split()) >= 2:
            rows.setdefault((text, synopsis), (text, synopsis, name, sources[name]))
    return DataSet(
        title=TITLE,
        edition=f"Debian {debian.version}",
        origins=[Origin("Translation-en", f"Debian {debian.version}", LICENCE)],
        splits=split(list(rows.values()), SIZES, group=lambda row: row[3]),
        notes=[
            "Packages of one source package are in one split.",
            "Debian states no license for the descriptions as a whole. Each is part of its "
            "package's debian/ folder, whose license is in /usr/share/doc/PACKAGE/copyright. The "
            "third column names the package.",
        ],
    )


def source_of(package: Deb822) -> str:
    """Name of the source package that a package is built from."""
    return package.get("Source", package["Package"]).split()[0]


def descriptions(debian: Debian, language: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """Read the package descriptions of a language, if the suite has any.

    Yields:
        `(package, MD5 of the English description, synopsis, paragraphs)`.
    """
    for package in paragraphs(debian.index(f"main/i18n/Translation-{language}") or ""):
        if description := package.get(f"Description-{language}"):
            synopsis, _, text = description.partition("\n")
            yield package["Package"], package["Description-md5"], synopsis.strip(), _join(text)


def _join(text: str) -> list[str]:
    """Paragraphs of a description, each on one line: ` .` separates them in Debian's format."""
    blocks = re.split(r"\n\s*\n", re.sub(r"^ \.\s*$", "\n", text, flags=re.M))
    joined = (" ".join(block.split()) for block in blocks)
    return [re.sub(r"<?https?://\S+>?", "", block).strip() for block in joined if block]
