"""Paths of the data sets included in the package. Each set's license is in the same folder."""

import os
from collections.abc import Iterable
from pathlib import Path

FILES = Path(__file__).parent / "files"
VSCODE_TRAIN = FILES / "vscode.en-ko.MIT.train.tsv.gz"
VSCODE_VALID = FILES / "vscode.en-ko.MIT.valid.tsv.gz"
DOCSTRINGS_TRAIN = FILES / "docstrings.en.Apache-2.0.train.tsv.gz"
DOCSTRINGS_VALID = FILES / "docstrings.en.Apache-2.0.valid.tsv.gz"
FAQ_TRAIN = FILES / "faq.en.Python-2.0-AND-Artistic-1.0-Perl.train.json.gz"
FAQ_VALID = FILES / "faq.en.Python-2.0-AND-Artistic-1.0-Perl.valid.json.gz"
G2P_TRAIN = FILES / "g2p.en.BSD-2.train.tsv.gz"
G2P_VALID = FILES / "g2p.en.BSD-2.valid.tsv.gz"


def is_of_package(paths: Iterable[str | os.PathLike]) -> bool:
    """Return whether all paths are data files of this package.

    Example:
        >>> from seq2lite.recipes.data.samples import VSCODE_TRAIN, is_of_package
        >>> is_of_package([VSCODE_TRAIN]), is_of_package([VSCODE_TRAIN, "mine.tsv"])
        (True, False)
    """
    return all(Path(path).parent == FILES for path in paths)


def shortened(text: str) -> str:
    """Replace the paths of the package's data files in a text by the names of the files.

    Reports and records are then the same wherever the package is installed.

    Example:
        >>> from seq2lite.recipes.data.samples import VSCODE_TRAIN, shortened
        >>> shortened(f"read {VSCODE_TRAIN} and mine.tsv")
        'read vscode.en-ko.MIT.train.tsv.gz and mine.tsv'
    """
    return text.replace(f"{FILES}{os.sep}", "")
