"""A data set on disk: splits, licenses and checksums, written completely or not at all."""

import dataclasses
import gzip
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from seq2lite.export.system.atomic import check_parents, write_atomically

from .errors import FetchError, disk_error
from .split import Row

SUMS, LICENCES, README = "SHA256SUMS", "LICENCES.md", "README.md"
KNOWN_CHECKSUMS = Path(__file__).parent / "checksums.json"


@dataclasses.dataclass(frozen=True)
class Origin:
    """A package or file that the text of a data set is from.

    Args:
        name: Str, such as `krita-l10n`.
        version: Str.
        license: Str, the license's short name, an SPDX identifier where the origin states one.
        text: Str, the whole license or copyright file. Default: none.
    """

    name: str
    version: str
    license: str
    text: str = ""


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set in memory.

    Args:
        title: Str, one line about the content.
        edition: Str, the version of the sources, such as `Debian 12.15`. Checksums are known for
            one edition.
        origins: Sequence of `Origin`.
        splits: Mapping of each split's name to its rows, tuples of str.
        notes: Sequence of str, lines for the README.
    """

    title: str
    edition: str
    origins: Sequence[Origin]
    splits: Mapping[str, Sequence[Row]]
    notes: Sequence[str] = ()


def check_output(output: str | Path, overwrite: bool, name: str) -> bool:
    """Check that a data set may be written to a folder.

    Args:
        output: Path of the folder.
        overwrite: Bool, whether an earlier version of the data set may be replaced.
        name: Str, the data set's name.

    Returns:
        Whether the folder contains the data set and is to be kept.

    Raises:
        FetchError: The folder contains other files, or cannot be created.
    """
    output = Path(output)
    try:
        check_parents(output)
    except ValueError as error:
        raise FetchError(str(error).replace("`path`", "`output`")) from error
    if not os.path.lexists(output) or (output.is_dir() and not any(output.iterdir())):
        return False
    sums = output / SUMS
    if not sums.is_file() or sums.read_text("utf-8").partition("\n")[0] != _heading(name):
        raise FetchError(
            f"`output` must be a new folder, or the folder of an earlier {name}. Received: "
            f"{output}, which contains other files"
        )
    present = {str(file.relative_to(output)) for file in output.rglob("*") if not file.is_dir()}
    foreign = sorted(present - {SUMS, *_read_sums(output)})
    if overwrite and foreign:
        raise FetchError(
            f"`output` must contain only the data set to be replaced. Received: {output}, with "
            f"{', '.join(foreign[:3])}{', …' if len(foreign) > 3 else ''}"
        )
    return not overwrite


def verify(output: str | Path) -> list[str]:
    """List the files of a written data set that differ from its `SHA256SUMS`."""
    output, differing = Path(output), []
    for name, digest in _read_sums(output).items():
        file = output / name
        if not file.is_file() or _digest(file.read_bytes()) != digest:
            differing.append(name)
    return differing


def _heading(name: str) -> str:
    """First line of a data set's SHA256SUMS, which identifies its folder."""
    return f"# seq2lite's set {name}"


def _read_sums(output: Path) -> dict[str, str]:
    lines = (output / SUMS).read_text("utf-8").splitlines()
    pairs = (line.split("  ", 1) for line in lines if line and not line.startswith("#"))
    return {name: digest for digest, name in pairs}


def write(
    name: str,
    data: DataSet,
    output: str | Path,
    downloads: Mapping[str, str],
    allow_other: bool = False,
) -> str:
    """Write a data set to a folder, and compare it with the known checksums of its edition.

    Args:
        name: Str, the data set's name, such as `en-ko`.
        data: `DataSet`.
        output: Path of the folder.
        downloads: Mapping of each downloaded file's name to its SHA-256, for `SHA256SUMS`.
        allow_other: Bool. If True, other checksums than the known ones are no error. Default: False.

    Returns:
        A sentence about the checksums.

    Raises:
        FetchError: The checksums differ from the known ones, or the disk is full. Nothing is
            written.
    """
    files = {f"{part}.tsv.gz": _compress(rows) for part, rows in data.splits.items()}
    sentence = _compare(name, data.edition, files, allow_other)
    files |= {f"licences/{o.name}.txt": o.text.encode() for o in data.origins if o.text}
    files[LICENCES] = _licenses(data).encode()
    files[README] = _readme(name, data).encode()
    sums = [f"{_digest(content)}  {file}" for file, content in sorted(files.items())]
    sources = [f"# {digest}  {file}" for file, digest in sorted(downloads.items())]
    lines = [_heading(name), *sums, "# Downloaded:", *sources]
    files[SUMS] = ("\n".join(lines) + "\n").encode()

    def fill(partial):
        for file, content in files.items():
            (partial / file).parent.mkdir(parents=True, exist_ok=True)
            (partial / file).write_bytes(content)

    try:
        write_atomically(output, fill)
    except OSError as error:
        raise disk_error(error, Path(output).parent) from error
    return sentence


def _compress(rows: Sequence[Row]) -> bytes:
    """Encode rows as gzipped lines with tabs between their columns.

    The bytes depend on the rows alone: the gzip header has no time and no name.
    """
    for row in rows:
        if any(c in column for column in row for c in "\t\n\r\0"):
            raise AssertionError(f"a column contains a separator: {row}")
    text = "".join("\t".join(row) + "\n" for row in rows)
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def _compare(name: str, edition: str, files: Mapping[str, bytes], allow_other: bool) -> str:
    # Checksums are those of the text, because versions of zlib compress it differently.
    sums = {file: _digest(gzip.decompress(content)) for file, content in sorted(files.items())}
    known = json.loads(KNOWN_CHECKSUMS.read_text("utf-8")).get(name)
    if known is None:
        return f"no checksums of {name} are known: {SUMS} records them, and nothing was compared"
    if known["edition"] != edition:
        return (
            f"the known checksums are those of {known['edition']}, and this is {edition}: {SUMS} "
            "records them, and nothing was compared"
        )
    if known["files"] == sums:
        return f"the checksums equal the known ones of {edition}"
    differing = [f for f in {*sums, *known["files"]} if sums.get(f) != known["files"].get(f)]
    problem = (
        f"{name} must have the known checksums of {edition}. Differing: "
        f"{', '.join(sorted(differing))}"
    )
    if not allow_other:
        raise FetchError(
            f"{problem}. Nothing was written; --allow-other-checksums writes it. Received: "
            f"{json.dumps({'edition': edition, 'files': sums})}"
        )
    return problem


def _licenses(data: DataSet) -> str:
    lines = [f"# Licenses of {data.title}", ""]
    lines += ["Each row keeps the license of its origin. The third column of the tables, and the"]
    lines += ["fourth where there is one, names that origin.", ""]
    lines += ["| origin | version | license | text |", "|---|---|---|---|"]
    for origin in sorted(data.origins, key=lambda origin: origin.name):
        link = f"[licences/{origin.name}.txt](licences/{origin.name}.txt)" if origin.text else ""
        license = origin.license.replace("|", "/")
        lines.append(f"| {origin.name} | {origin.version} | {license} | {link} |")
    return "\n".join(lines) + "\n"


def _readme(name: str, data: DataSet) -> str:
    lines = [f"# {name}: {data.title}", "", f"Built by `seq2lite fetch {name}`"]
    lines += [f"from {data.edition}. Licenses: [{LICENCES}]({LICENCES}).", ""]
    lines += ["| file | rows |", "|---|---|"]
    lines += [f"| {part}.tsv.gz | {len(rows):,} |" for part, rows in data.splits.items()]
    lines += ["", *(f"- {note}" for note in data.notes)]
    return "\n".join(lines) + "\n"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
