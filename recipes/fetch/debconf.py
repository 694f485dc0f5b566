"""Text to question: what Debian's packages ask when they are installed (debconf templates)."""

import re

from .archives import members
from .building import Built, Part
from .debian import Debian, copyright_of, fields
from .descriptions import source_of
from .split import split

TITLE = "explanations to the questions that Debian's packages ask (debconf)"
SIZES = {"test": 100, "valid": 100}
MAX_SIZE = 500_000  # bytes of a package: 500 of 670 ask in as little; the other 170 weigh 680 MB
TYPES = {"boolean", "string", "select", "multiselect", "password"}  # what a user answers


def build(cache, options):
    """(explanation, question, package, source package)."""
    debian = Debian(cache, options.mirror)
    asking = [
        name
        for name, package in sorted(debian.packages.items())
        if re.search(r"\bdebconf\b", package.get("Depends", "") + package.get("Pre-Depends", ""))
        and int(package["Size"]) <= MAX_SIZE
    ]
    rows, parts = {}, []
    for package, path in debian.get(asking, "packages that ask"):
        name = package["Package"]
        inside = dict(members(path, "templates".__eq__, part="control"))
        read = questions(inside.get("templates", b"").decode("utf-8", "replace"))
        new = [pair for pair in read if pair not in rows]
        rows |= {pair: (*pair, name, source_of(package)) for pair in new}
        if new:
            parts.append(Part(name, package["Version"], *copyright_of(path, name)))
    return Built(
        title=TITLE,
        edition=f"Debian {debian.version}",
        parts=parts,
        rows=split(list(rows.values()), SIZES, group=lambda row: row[3]),
        notes=["Questions of one source package are in one split."],
    )


def questions(text):
    """(explanation, question) of each template that has both and that a user answers.

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
    for block in re.split(r"\n\s*\n", text):
        of = {name.lower(): value for name, value in fields(block).items()}
        of = of | {"description": of.get("_description", of.get("description", ""))}
        question, _, explanation = of["description"].partition("\n")
        explanation = " ".join(re.sub(r"^ \.\s*$", " ", explanation, flags=re.M).split())
        question = " ".join(question.split())
        if (
            of.get("type") in TYPES
            and len(explanation.split()) >= 8
            and len(question.split()) >= 2
            and "${" not in question
        ):
            found.append((explanation, question))
    return found
