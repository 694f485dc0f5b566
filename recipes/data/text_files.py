"""Text files: UTF-8 or UTF-16, plain or gzip."""

import codecs
import gzip
import os
import re
import typing
import zlib
from collections.abc import Iterator
from pathlib import Path

from seq2lite.export.runtime.checks import quote
from seq2lite.export.runtime.unicode import STRIPPED


class DataError(ValueError):
    """A data file cannot be used. The message names the file and the line."""


class Line(typing.NamedTuple):
    """One line of a text file.

    Attributes:
        number: Line number, from 1.
        text: The line, without its line ending.
        place: File and line number, for error messages.
    """

    number: int
    text: str
    place: str


def read_lines(path: str | os.PathLike) -> Iterator[Line]:
    """Read the lines of a text file.

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
    for number, text in enumerate(read_text(path).removesuffix("\n").split("\n"), start=1):
        place, text = f"{path}, line {number}", text.removesuffix("\r")
        if "\r" in text:
            raise DataError(
                f"{place} must not contain a carriage return. Received: {quote(text)}. Save the "
                "file with the line ends of Linux or Windows"
            )
        yield Line(number, text, place)


def read_text(path: str | os.PathLike) -> str:
    """Read a text file: UTF-16 if it begins with the byte order mark of UTF-16, or else UTF-8.

    Args:
        path: The file; it is decompressed if its name ends in .gz.

    Returns:
        The text, without byte order marks at the beginning of lines.

    Raises:
        DataError: The file is missing, empty or not UTF-8, or contains a NUL.

    Example:
        >>> from seq2lite.recipes.data.samples import VSCODE_VALID
        >>> from seq2lite.recipes.data.text_files import read_text
        >>> read_text(VSCODE_VALID)[:7]
        'Disable'
    """
    content = read_bytes(path)
    encoding = (
        "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    )
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        line = content.split(b"\n")[number - 1]
        raise DataError(
            f"{path}, line {number} must be {encoding.upper()}. Received: {line[:40]!r}. Save the "
            "file as UTF-8; Excel names it CSV UTF-8"
        ) from error
    if not text.strip(STRIPPED):
        raise DataError(f"{path} must contain text. Received: an empty file")
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        found = quote(text.split("\n")[number - 1])
        raise DataError(f"{path}, line {number} must not contain a NUL. Received: {found}")
    # Files that were joined have such a mark at the beginning of each part.
    return re.sub("^\ufeff", "", text, flags=re.MULTILINE)


def read_bytes(path: str | os.PathLike) -> bytes:
    """Read a file; decompress it if its name ends in .gz.

    Raises:
        DataError: The file is missing, or is not valid gzip although its name ends in .gz.

    Example:
        >>> from seq2lite.recipes.data.samples import VSCODE_VALID
        >>> from seq2lite.recipes.data.text_files import read_bytes
        >>> read_bytes(VSCODE_VALID)[:7]
        b'Disable'
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(
            f"{path} must be a file, or a folder that the library `datasets` has saved. Received: "
            "another folder"
        )
    if not path.is_file():
        raise DataError(f"The data file must exist. Received: {path}")
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        kind = "gzip file, as its name ends in .gz" if path.suffix == ".gz" else "file"
        raise DataError(f"{path} must be a readable {kind}. Received: {error}") from error
    return content
