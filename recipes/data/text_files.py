"""Reading of text files."""

import codecs
import gzip
import unicodedata
from pathlib import Path


class DataError(ValueError):
    """A data file cannot be used; the message names the file and the line."""


def read_lines(path):
    """The lines of a UTF-8 text file, in NFC, without their ends; gzip if its name ends in .gz.

    Args:
        path: The file.

    Returns:
        A list of str, empty lines among them.

    Raises:
        DataError: The file is missing, empty or not UTF-8, or has a NUL; the message names the line.
    """
    return [unicodedata.normalize("NFC", text) for _, text, _ in _lines(path)]


def read_content(path):
    """The bytes of a file, unpacked if its name ends in .gz.

    Raises:
        DataError: There is no such file, or it is no gzip.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"The data file must exist. Received: {path}")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, gzip.zlib.error) as error:
        raise DataError(f"{path} must be readable, and gzip as its name says: {error}") from error
    return content.removeprefix(codecs.BOM_UTF8)


def _lines(path):
    """(number, text, where) of each line."""
    content = read_content(path)
    if not content.strip():
        raise DataError(f"{path} must hold text. Received: an empty file")
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), start=1):
        where = f"{path}, line {number}"
        line = line.removesuffix(b"\r")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{where}: must be UTF-8. Received: {line[:40]!r}") from error
        for character, name in (("\0", "a NUL"), ("\r", "a carriage return")):
            if character in text:
                raise DataError(f"{where}: must not hold {name}. Received: {line[:40]!r}")
        yield number, text, where
