"""Summaries: Debian's package descriptions, long to short."""

import re

from .building import Built, Part
from .debian import Debian, fields
from .split import split

TITLE = "package descriptions to their one-line synopses"
SIZES = {"test": 1000, "valid": 2000}
LICENCE = "as the packaging of each package (mostly GPL-2.0-or-later, MIT, BSD); see the notes"


def build(cache, options):
    """(description, synopsis, package, source package)."""
    debian = Debian(cache, options.mirror)
    sources = {name: source_of(package) for name, package in debian.packages.items()}
    rows = {}
    for name, _, synopsis, paragraphs in descriptions(
        debian.index("main/i18n/Translation-en"), "en"
    ):
        text = " ".join(paragraphs)
        if name in sources and len(text.split()) >= 12 and len(synopsis.split()) >= 2:
            rows.setdefault((text, synopsis), (text, synopsis, name, sources[name]))
    # Of one text, one row: a library and its headers have the same first paragraph.
    return Built(
        title=TITLE,
        edition=f"Debian {debian.version}",
        parts=[Part("Translation-en", f"Debian {debian.version}", LICENCE)],
        rows=split(list(rows.values()), SIZES, group=lambda row: row[3]),
        notes=[
            "Packages of one source package are in one split.",
            "Debian states no licence for the descriptions as a whole: each is part of its "
            "package's debian/ folder, whose licence stands in "
            "/usr/share/doc/PACKAGE/copyright. The third column names the package.",
        ],
    )


def source_of(package):
    """Name of the source package of a dict of fields."""
    return package.get("Source", package["Package"]).split()[0]


def descriptions(text, language):
    """Reads a Translation-xx index.

    Yields:
        (package, MD5 of the English description, synopsis, list of paragraphs).
    """
    for block in text.split("\n\n"):
        of = fields(block)
        if f"Description-{language}" in of:
            synopsis, _, long = of[f"Description-{language}"].partition("\n")
            yield of["Package"], of["Description-md5"], synopsis.strip(), _paragraphs(long)


def _paragraphs(text):
    """Debian's form: ` .` is an empty line, more than one space in front is set as it is."""
    joined = re.sub(r"^ \.\s*$", "\n", text, flags=re.M)
    paragraphs = (" ".join(p.split()) for p in re.split(r"\n\s*\n", joined))
    return [re.sub(r"<?https?://\S+>?", "", p).strip() for p in paragraphs if p]
