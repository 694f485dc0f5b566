"""Text files: UTF-8, plain or gzip."""

import codecs
import gzip
import os
import typing
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path

from seq2lite.export.runtime.checks import quote


class DataError(ValueError):
    """A data file cannot be used. The message names the file and the line."""


class Line(typing.NamedTuple):
    """One line of a text file.

    Attributes:
        number: Line number, from 1.
        text: The line in NFC, without its line ending.
        place: File and line number, for error messages.
    """

    number: int
    text: str
    place: str


def read_lines(path: str | os.PathLike) -> Iterator[Line]:
    """Read the lines of a UTF-8 text file, in Unicode form NFC.

    Args:
        path: The file; it is decompressed if its name ends in .gz.

    Yields:
        Each `Line`, empty ones included.

    Raises:
        DataError: The file is missing, empty or not UTF-8, or contains a NUL.

    Example:
        >>> from seq2lite.recipes.data.samples import VSCODE_VALID
        >>> from seq2lite.recipes.data.text_files import read_lines
        >>> next(read_lines(VSCODE_VALID)).number
        1
    """
    content = read_bytes(path)
    if not content.strip():
        raise DataError(f"{path} must contain text. Received: an empty file")
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), start=1):
        place = f"{path}, line {number}"
        line = line.removesuffix(b"\r")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{place} must be UTF-8. Received: {quote(line)}") from error
        for character, name in (("\0", "a NUL"), ("\r", "a carriage return")):
            if character in text:
                raise DataError(f"{place} must not contain {name}. Received: {quote(line)}")
        yield Line(number, unicodedata.normalize("NFC", text), place)


def read_bytes(path: str | os.PathLike) -> bytes:
    """Read a file, without a byte order mark; decompress it if its name ends in .gz.

    Raises:
        DataError: The file is missing, or is not valid gzip although its name ends in .gz.

    Example:
        >>> from seq2lite.recipes.data.samples import VSCODE_VALID
        >>> from seq2lite.recipes.data.text_files import read_bytes
        >>> read_bytes(VSCODE_VALID)[:7]
        b'Disable'
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"The data file must exist. Received: {path}")
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        kind = "gzip file, as its name ends in .gz" if path.suffix == ".gz" else "file"
        raise DataError(f"{path} must be a readable {kind}. Received: {error}") from error
    return content.removeprefix(codecs.BOM_UTF8)
