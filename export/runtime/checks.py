"""Checks of arguments."""

from collections.abc import Sequence
from numbers import Integral

from .tokenizer import is_unicode


def checked_texts(texts: Sequence[str]) -> Sequence[str]:
    """Return `texts`, or raise ValueError unless they are a list of Unicode text."""
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"`texts` must be a list of str. Received: {texts!r:.80}")
    for text in texts:
        if not is_unicode(text):
            raise ValueError(
                "`texts` must be valid Unicode, without unpaired surrogates. "
                f"Received: {text!r:.80}"
            )
    return texts


def is_integer(value: object) -> bool:
    """Return whether `value` is an integer, NumPy's included; a bool is not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def require_positive(**numbers: int) -> None:
    """Raise ValueError unless each argument is a positive integer."""
    for name, number in numbers.items():
        if not is_integer(number) or number < 1:
            raise ValueError(f"`{name}` must be a positive integer. Received: {number!r}")
