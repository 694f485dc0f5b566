"""Checks of arguments."""

import inspect
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np


def require(holds: object, expected: str, **received: object) -> None:
    """Raise ValueError unless `holds`, an argument's condition, which `expected` describes.

    Args:
        holds: Whether the argument is valid.
        expected: The values that are allowed.
        received: The argument, by its name.
    """
    if not holds:
        ((name, value),) = received.items()
        raise ValueError(f"`{name}` must be {expected}. Received: {name}{_shown(value)}")


def _shown(value):
    """Format a value for an error: an array by its shape, other values quoted."""
    try:
        shape = tuple(getattr(value, "shape", ()))
    except (TypeError, ValueError):  # a method, or an unknown rank
        shape = ()
    return f" of shape {shape}" if shape else f"={quote(value, 80)}"


def quote(value: object, limit: int = 60) -> str:
    """Format a value for a message, as `repr` does; `…` stands for the rest of a long one.

    Args:
        value: A text, whose quotation marks are kept, or any other value.
        limit: Maximum number of characters of the value.

    Example:
        >>> from seq2lite.export.runtime.checks import quote
        >>> quote("Open the file", limit=8)
        "'Open the…'"
    """
    if isinstance(value, (str, bytes)):
        shown = repr(value[:limit])
        return shown if len(value) <= limit else f"{shown[:-1]}…{shown[-1]}"
    shown = repr(value)
    return shown if len(shown) <= limit else f"{shown[:limit]}…"


def level_of_caller() -> int:
    """Return the `stacklevel` with which a warning names the first caller outside of the package."""
    package, frame, level = __name__.partition(".")[0], inspect.currentframe(), 0
    while frame and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level


def checked_texts(texts: Sequence[str]) -> Sequence[str]:
    """Return `texts`, or raise ValueError unless they are a list of Unicode text."""
    if isinstance(texts, str):
        raise ValueError(
            f"`texts` must be a list of str. Received: texts={quote(texts)}. Put a single text in a "
            f"list: [{quote(texts)}]"
        )
    require(isinstance(texts, (list, tuple)), "a list of str", texts=texts)
    for place, text in enumerate(texts):
        received = {f"texts[{place}]": text}
        require(isinstance(text, str), "a str", **received)
        require(is_unicode(text), "valid Unicode, without unpaired surrogates", **received)
    return texts


def require_no_start(name: str, ids: np.ndarray, start_id: int, end_id: int, pad_id: int) -> None:
    """Raise ValueError if a row of ids `(batch, length)` begins with the start, which is added to it."""
    # A start id that also ends or pads is allowed where no token follows.
    is_special = start_id in (pad_id, end_id)
    has_start = ids[:, :1] == start_id
    has_start &= (ids[:, 1:] != pad_id).any(axis=1, keepdims=True) | (not is_special)
    expected = f"without start_id={start_id} in front, which is added"
    require(not has_start.any(), expected, **{name: ids[has_start.any(axis=1)].tolist()})


def require_below(name: str, ids: np.ndarray | None, vocabulary_size: int) -> None:
    """Raise ValueError unless all ids, if any, are in the vocabulary."""
    is_valid = ids is None or not ids.size or ids.max() < vocabulary_size
    require(is_valid, f"ids in [0, {vocabulary_size})", **{name: ids})


def is_number(value: object, kind: type = Real) -> bool:
    """Return whether `value` is a number of a kind of `numbers`, NumPy's included, not a bool."""
    return isinstance(value, kind) and not isinstance(value, bool)


def require_positive(**numbers: int) -> None:
    """Raise ValueError unless each argument is a positive integer."""
    for name, number in numbers.items():
        is_positive = is_number(number, Integral) and number > 0
        require(is_positive, "a positive integer", **{name: number})


def is_unicode(text: str) -> bool:
    """Return whether a str can be encoded as UTF-8; half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
