"""Cleaning and quoting of text."""

import ast
import random
import unicodedata

import pytest

from seq2lite.export.runtime.checks import quote, require
from seq2lite.export.runtime.unicode import STRIPPED, clean

CHARACTERS = [chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000]


def random_texts(seed):
    """Random texts of characters that are difficult to clean or to quote."""
    rng = random.Random(seed)
    odd = [*STRIPPED, *"'\"\\\0…\u200b\u2581", "\u0308", "\u1161", "é", "각", "\u2000", "🙂"]
    for _ in range(3000):
        letters = rng.choice([odd, CHARACTERS])
        yield "".join(rng.choices([*letters[:40], *odd, *"abc"], k=rng.randrange(12)))


def test_the_stripped_characters_are_spaces_and_the_byte_order_mark():
    assert set(STRIPPED) == {c for c in CHARACTERS if c.isspace() or c == "\ufeff"}


def test_clean_text_has_no_spaces_at_its_ends_and_is_in_nfc():
    for text in random_texts(0):
        cleaned = clean(text)
        assert clean(cleaned) == cleaned == unicodedata.normalize("NFC", cleaned)
        assert not (cleaned and {cleaned[0], cleaned[-1]} & set(STRIPPED))


def test_only_spaces_and_byte_order_marks_are_removed():
    for text in random_texts(3):
        inner = text.strip(STRIPPED)
        before, _, after = text.partition(inner) if inner else (text, "", "")
        assert set(before + after) <= set(STRIPPED)
        assert clean(text) == unicodedata.normalize("NFC", inner)


def test_every_composition_of_a_text_is_cleaned_to_the_same():
    for text in random_texts(1):
        decomposed = unicodedata.normalize("NFD", text)
        assert clean(f"\ufeff {decomposed}\r\n\u3000") == clean(text)


def test_a_long_text_is_cut_within_its_quotation_marks():
    for text in random_texts(2):
        for limit in (1, 5, 60):
            read = ast.literal_eval(quote(text, limit))
            assert read == (text if len(text) <= limit else f"{text[:limit]}…")
    assert quote(b"menu " * 40, 6) == "b'menu m…'"
    assert quote([1, 2, 3] * 40, 8) == "[1, 2, 3…"


def test_an_error_quotes_a_long_argument_within_its_quotation_marks():
    with pytest.raises(ValueError, match=r"Received: texts='menu menu .*…'$"):
        require(False, "a list of str", texts="menu " * 40)
