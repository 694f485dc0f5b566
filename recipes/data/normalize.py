"""Text normalization for finding duplicates."""

import re
import unicodedata

# Placeholders of printf, Python and the shell: their letters are no part of the text.
_PLACEHOLDER = re.compile(
    r"%[-+#0]?[\d.*$]*(?:hh|ll|[hlLzjt])?[a-zA-Z]\b|\$?\{[^{}]*\}|\$\([^()]*\)"
)


def comparable(text: str) -> str:
    """Reduce a text to its case-folded letters.

    Two texts count as duplicates when their results are equal. Case, digits, punctuation, spaces
    and placeholders do not matter.

    Example:
        >>> from seq2lite.recipes.data.normalize import comparable
        >>> comparable("_Open file %d…") == comparable("Open &File 2")
        True
    """
    text = unicodedata.normalize("NFKC", _PLACEHOLDER.sub(" ", text)).casefold()
    # Category M: vowel signs are letters in Indic and other scripts.
    return "".join(c for c in text if unicodedata.category(c)[0] in "LM")
