"""Text normalization for comparisons."""

import re
import unicodedata

# printf's, Python's and the shell's placeholders: the letters in them say nothing.
_PLACEHOLDER = re.compile(
    r"%[-+#0]?[\d.*$]*(?:hh|ll|[hlLzjt])?[a-zA-Z]\b|\$?\{[^{}]*\}|\$\([^()]*\)"
)


def comparable(text):
    """Only the letters, in one case: texts that agree in them are the same text here.

    Example:
        >>> from seq2lite.recipes.data.normalize import comparable
        >>> comparable("_Open file %d…") == comparable("Open &File 2")
        True
    """
    text = unicodedata.normalize("NFKC", _PLACEHOLDER.sub(" ", text)).casefold()
    # Vowel signs (category M) are letters in Indic and other scripts.
    return "".join(c for c in text if unicodedata.category(c)[0] in "LM")
