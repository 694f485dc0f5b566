"""A built data set: its files, what they came from, their checksums; whole or not at all."""

import dataclasses
import gzip
import hashlib
import json
import os
from pathlib import Path

from seq2lite.export.system.atomic import check_parents, write_atomically

from .download import FetchError, disk_sentence

SUMS, LICENCES, README = "SHA256SUMS", "LICENCES.md", "README.md"
_PINS = Path(__file__).parent / "checksums.json"


@dataclasses.dataclass
class Part:
    """One origin of a data set's text.

    Args:
        name: Package or file, such as `krita-l10n`.
        version: Its version.
        licence: In short, an SPDX name where the origin states one.
        text: The licence or copyright file, whole; it is written beside the data.
    """

    name: str
    version: str
    licence: str
    text: str = ""


@dataclasses.dataclass
class Built:
    """What a set's own module gives back.

    Args:
        title: One line: what it holds.
        edition: What fixes its content, such as `Debian 12.15`: checksums are compared within one.
        parts: List of `Part`.
        rows: Dict, name of a split to its rows: tuples of str.
        notes: Lines for the README: what was dropped, what to know.
    """

    title: str
    edition: str
    parts: list
    rows: dict
    notes: list = dataclasses.field(default_factory=list)


def check_output(output, overwrite, name):
    """Raises FetchError where `output` must not be written. True: the set `name` is there already."""
    output = Path(output)
    try:
        check_parents(output)
    except ValueError as error:
        raise FetchError(str(error).replace("`path`", "`output`")) from error
    if not os.path.lexists(output):
        return False
    if output.is_dir() and not any(output.iterdir()):
        return False
    sums = output / SUMS
    if not sums.is_file() or sums.read_text("utf-8").partition("\n")[0] != _heading(name):
        raise FetchError(
            f"`output` must be a new folder, or one that {name} was fetched to. Received: {output}, "
            "which holds something else"
        )
    there = {str(f.relative_to(output)) for f in output.rglob("*") if not f.is_dir()}
    strange = sorted(there - {SUMS, *_sums(output)})
    if overwrite and strange:
        raise FetchError(
            f"`output` must hold nothing but the set, to be replaced. Received: {output}, with "
            f"{', '.join(strange[:3])}{', …' if len(strange) > 3 else ''}"
        )
    return not overwrite


def verify(output):
    """Names of the files of a built set that are not as `SHA256SUMS` says."""
    output, wrong = Path(output), []
    for name, digest in _sums(output).items():
        file = output / name
        if not file.is_file() or _digest(file.read_bytes()) != digest:
            wrong.append(name)
    return wrong


def _heading(name):
    """The first line of the SHA256SUMS of a set, by which its folder is known."""
    return f"# seq2lite's set {name}"


def _sums(output):
    """Name of each file of a built set to its checksum."""
    lines = (output / SUMS).read_text("utf-8").splitlines()
    pairs = (line.split("  ", 1) for line in lines if line and not line.startswith("#"))
    return {name: digest for digest, name in pairs}


def write(name, built, output, downloads, allow_other=False):
    """Writes a set to its folder and compares it with the checksums that are known for its edition.

    Args:
        name: The set's name, such as `en-ko`.
        built: A `Built`.
        output: Folder.
        downloads: Dict, name of a downloaded file to its SHA-256, for `SHA256SUMS`.
        allow_other: Only say so where the checksums are not the known ones.

    Returns:
        A sentence about the checksums.

    Raises:
        FetchError: They are not the known ones; the disk is full. Nothing is written.
    """
    files = {f"{part}.tsv.gz": table(rows) for part, rows in built.rows.items()}
    sentence = _compare(name, built.edition, files, allow_other)
    files |= {f"licences/{part.name}.txt": part.text.encode() for part in built.parts if part.text}
    files[LICENCES] = _licences(built).encode()
    files[README] = _readme(name, built).encode()
    lines = [_heading(name)]
    lines += [f"{_digest(content)}  {file}" for file, content in sorted(files.items())]
    lines += [
        "# Downloaded:",
        *(f"# {digest}  {file}" for file, digest in sorted(downloads.items())),
    ]
    files[SUMS] = ("\n".join(lines) + "\n").encode()

    def fill(partial):
        for file, content in files.items():
            (partial / file).parent.mkdir(parents=True, exist_ok=True)
            (partial / file).write_bytes(content)

    try:
        write_atomically(output, fill)
    except OSError as error:
        raise FetchError(disk_sentence(error, Path(output).parent)) from error
    return sentence


def table(rows):
    """Rows as gzip, equal for equal rows: no time, no name in its header."""
    for row in rows:
        if any(c in column for column in row for c in "\t\n\r\0"):
            raise AssertionError(f"a column holds a separator: {row}")
    text = "".join("\t".join(row) + "\n" for row in rows)
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def _compare(name, edition, files, allow_other):
    # Of the text, not of the gzip file: zlib's versions compress differently.
    sums = {file: _digest(gzip.decompress(content)) for file, content in sorted(files.items())}
    known = json.loads(_PINS.read_text("utf-8")).get(name)
    if known is None:
        return f"no checksums are known for {name}: recorded in {SUMS}, compared with nothing"
    if known["edition"] != edition:
        return (
            f"the known checksums are those of {known['edition']}, this is {edition}: "
            f"recorded in {SUMS}, compared with nothing"
        )
    if known["files"] == sums:
        return f"checksums are the known ones of {edition}"
    differing = [f for f in {*sums, *known["files"]} if sums.get(f) != known["files"].get(f)]
    problem = f"{name} must have the known checksums of {edition}. Differing: {', '.join(sorted(differing))}"
    if not allow_other:
        raise FetchError(
            f"{problem}. Nothing was written; --allow-other-checksums writes it all the same. "
            f"Received: {json.dumps({'edition': edition, 'files': sums})}"
        )
    return problem


def _licences(built):
    lines = [f"# Licences of {built.title}", ""]
    lines += [
        "The text keeps the licence of where it came from, part by part. The third column of the"
    ]
    lines += ["tables (and the fourth, where there is one) names the origin of each row.", ""]
    lines += ["| part | version | licence | its text |", "|---|---|---|---|"]
    for part in sorted(built.parts, key=lambda part: part.name):
        text = f"[licences/{part.name}.txt](licences/{part.name}.txt)" if part.text else ""
        licence = part.licence.replace("|", "/")
        lines.append(f"| {part.name} | {part.version} | {licence} | {text} |")
    return "\n".join(lines) + "\n"


def _readme(name, built):
    lines = [f"# {name}: {built.title}", "", f"Built by `python -m seq2lite.recipes.fetch {name}`"]
    lines += [f"from {built.edition}. Licences: [{LICENCES}]({LICENCES}).", ""]
    lines += ["| file | rows |", "|---|---|"]
    lines += [f"| {part}.tsv.gz | {len(rows):,} |" for part, rows in built.rows.items()]
    lines += ["", *(f"- {note}" for note in built.notes)]
    return "\n".join(lines) + "\n"


def _digest(content):
    return hashlib.sha256(content).hexdigest()
