"""Cleaning of text: the same in training, in export and on devices."""

import unicodedata

# The characters that `str.isspace` accepts, and the byte order mark.
STRIPPED = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)


def clean(text: str) -> str:
    """Strip whitespace and byte order marks from both ends, and normalize to Unicode's form NFC.

    Text is blank if nothing remains.

    Example:
        >>> from seq2lite.export.runtime.unicode import clean
        >>> clean("\\ufeff Open File\\n")
        'Open File'
    """
    return unicodedata.normalize("NFC", text.strip(STRIPPED))
