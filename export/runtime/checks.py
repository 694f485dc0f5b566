"""Checks of arguments."""

from .tokenizer import is_unicode


def checked_texts(texts):
    """`texts`. Raises ValueError unless they are a list of text."""
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"`texts` must be a list of str. Received: {texts!r:.80}")
    for text in texts:
        if not is_unicode(text):
            raise ValueError(f"`texts` must be Unicode text. Received: {text!r:.80}")
    return texts


def require_positive(**numbers):
    """Raises ValueError unless each is a positive integer."""
    for name, number in numbers.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise ValueError(f"`{name}` must be a positive integer. Received: {number!r}")
