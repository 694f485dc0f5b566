"""Parallel text: two columns of a tab-separated file, plain or gzip."""

import codecs
import gzip
import unicodedata
from pathlib import Path


class DataError(ValueError):
    """A data file cannot be used; the message names the file and the line."""


def read_pairs(path):
    """Reads (source, target) pairs, in NFC, from a tab-separated UTF-8 file.

    The first two columns count; further ones (an origin, say) are passed over, empty lines too.

    Args:
        path: The file; gzip if its name ends in .gz.

    Returns:
        A list of (source, target), both stripped of spaces at their ends.

    Raises:
        DataError: The file is missing, empty, or not UTF-8; or a line has one column, an empty
            side or a NUL. The message names the line.

    Example:
        >>> from seq2lite.recipes.pairs import read_pairs, VSCODE_VALID
        >>> read_pairs(VSCODE_VALID)[0][0]
        'Disable the code action menu.'
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"The data file must exist. Received: {path}")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, gzip.zlib.error) as error:
        raise DataError(f"{path} must be readable, and gzip as its name says: {error}") from error
    pairs = []
    content = content.removeprefix(codecs.BOM_UTF8)
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            pairs.append(_pair(line, f"{path}, line {number}"))
    if not pairs:
        raise DataError(f"{path} must hold a pair a line. Received: an empty file")
    return pairs


def _pair(line, where):
    try:
        columns = line.removesuffix(b"\r").decode().split("\t")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: must be UTF-8. Received: {line[:40]!r}") from error
    for byte, name in ((b"\0", "a NUL"), (b"\r", "a carriage return")):
        if byte in line.removesuffix(b"\r"):
            raise DataError(f"{where}: must not hold {name}. Received: {line[:40]!r}")
    if len(columns) < 2:
        raise DataError(
            f"{where}: must be a source and a target with a tab between them. "
            f"Received: one column, {columns[0]!r:.60}"
        )
    source, target = (unicodedata.normalize("NFC", column).strip() for column in columns[:2])
    if not source or not target:
        side = "target" if source else "source"
        raise DataError(f"{where}: the {side} must not be empty. Received: {line.decode()!r:.60}")
    return source, target


_DATA = Path(__file__).parent / "data"
VSCODE_TRAIN = _DATA / "vscode.en-ko.MIT.train.tsv.gz"
VSCODE_VALID = _DATA / "vscode.en-ko.MIT.valid.tsv.gz"
