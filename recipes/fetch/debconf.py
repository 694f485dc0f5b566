"""Questions: debconf templates, with which Debian's packages ask about their configuration."""

import argparse
import re

from .dataset import DataSet, Origin
from .debian import Debian, license_of, paragraphs, read_package
from .descriptions import source_of
from .download import Cache
from .split import split

TITLE = "explanations to the questions that Debian's packages ask (debconf)"
DOWNLOAD = "70 MB"
SIZES = {"test": 100, "valid": 100}
MAX_SIZE = 500_000  # bytes of a package: 500 of the 670 are smaller, the other 170 are 680 MB
TYPES = {"boolean", "string", "select", "multiselect", "password"}  # that a user answers
MIN_EXPLANATION, MIN_QUESTION = 8, 2  # words


def build(cache: Cache, options: argparse.Namespace) -> DataSet:
    """Build the rows `(explanation, question, package, source package)`."""
    debian = Debian(cache, options.mirror)
    names = [
        name
        for name, package in sorted(debian.packages.items())
        if re.search(r"\bdebconf\b", package.get("Depends", "") + package.get("Pre-Depends", ""))
        and int(package["Size"]) <= MAX_SIZE
    ]
    rows: dict[tuple[str, str], tuple[str, ...]] = {}
    origins = []
    for package, path in debian.get(names, "packages with questions"):
        name = package["Package"]
        files = dict(read_package(path, "templates".__eq__, part="control"))
        pairs = questions(files.get("templates", b"").decode("utf-8", "replace"))
        new = [pair for pair in pairs if pair not in rows]
        rows |= {pair: (*pair, name, source_of(package)) for pair in new}
        if new:
            origins.append(Origin(name, package["Version"], *license_of(path, name)))
    return DataSet(
        title=TITLE,
        edition=f"Debian {debian.version}",
        origins=origins,
        splits=split(list(rows.values()), SIZES, group=lambda row: row[3]),
        notes=["Questions of one source package are in one split."],
    )


def questions(templates: str) -> list[tuple[str, str]]:
    """Extract `(explanation, question)` of each template that has both and needs an answer.

    Example:
        >>> from seq2lite.recipes.fetch.debconf import questions
        >>> questions('''Template: x/y
        ... Type: boolean
        ... Description: Start the server?
        ...  It can be started now or at the next boot of this machine.
        ... ''')
        [('It can be started now or at the next boot of this machine.', 'Start the server?')]
    """
    found = []
    for template in paragraphs(re.sub(r"\n\s*\n", "\n\n", templates)):
        description = template.get("_Description", template.get("Description", ""))
        question, _, explanation = description.partition("\n")
        explanation = " ".join(re.sub(r"^ \.\s*$", " ", explanation, flags=re.M).split())
        question = " ".join(question.split())
        if (
            template.get("Type") in TYPES
            and len(explanation.split()) >= MIN_EXPLANATION
            and len(question.split()) >= MIN_QUESTION
            and "${" not in question
        ):
            found.append((explanation, question))
    return found
