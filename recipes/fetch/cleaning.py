"""Cleaning of parallel text: shortcut marks, placeholders, texts that are no translation."""

import re
import unicodedata

from ..data.normalize import comparable

MAX_CHARACTERS = 400
_BRACKETED_SHORTCUT = re.compile(r"\s*\([&_~][^\W_]\)")  # (_F), where the script is not Latin
_LEADING_SHORTCUT = re.compile(r"(?<![^\s(\"'])[&_~](?=[^\W\d_]{2})(?!\w+;)")
_PLACEHOLDER = re.compile(r"%(?:\d+\$)?[-+#0]?[\d.*]*(?:hh|ll|[hlLzjt])?([sdiufcxXeg])\b")


def clean(english: str, other: str) -> tuple[str, str] | None:
    """Normalize a text and its translation.

    Args:
        english: Str, the English text.
        other: Str, its translation.

    Returns:
        Both on one line without marks of keyboard shortcuts, or None if they are unsuitable for
        training.

    Example:
        >>> from seq2lite.recipes.fetch.cleaning import clean
        >>> clean("_Open File…", "파일 열기(_O)…")
        ('Open File…', '파일 열기…')
        >>> clean("Read %d files", "Lies Dateien") is None  # a placeholder is missing
        True
    """
    english, other = _remove_shortcuts(_one_line(english), _one_line(other))
    if not (1 < len(english) <= MAX_CHARACTERS and 0 < len(other) <= MAX_CHARACTERS):
        return None
    if not (comparable(english) and comparable(other)) or english.casefold() == other.casefold():
        return None
    if sorted(_PLACEHOLDER.findall(english)) != sorted(_PLACEHOLDER.findall(other)):
        return None
    # A translation that is four times as long belongs to another version of the text.
    if len(english.encode()) > 4 * len(other.encode()) + 20 or len(other) > 4 * len(english) + 20:
        return None
    # Names of colors, codecs, paths and keys are not text.
    if not re.search(r"[A-Za-z]{2}", english) or re.fullmatch(r"\S*[_/\\.]\S*[A-Za-z0-9]", english):
        return None
    return english, other


def _remove_shortcuts(english: str, other: str) -> tuple[str, str]:
    """Remove the marks of keyboard shortcuts: `_Open`, `For_mat`, `열기(_O)`."""
    english, short = _BRACKETED_SHORTCUT.sub("", english), _BRACKETED_SHORTCUT.sub("", other)
    for mark in "&_~":
        words = [word for word in english.split() if mark in word]
        is_marked = short != other or short.count(mark) == 1
        # A shortcut has one mark on each side. A word of both sides is a name, such as max_size.
        if is_marked and english.count(mark) == 1 and len(words[0]) > 1 and words[0] not in short:
            english, short = english.replace(mark, ""), short.replace(mark, "")
    return _LEADING_SHORTCUT.sub("", english), _LEADING_SHORTCUT.sub("", short)


def _one_line(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).replace("\0", " ").split())
