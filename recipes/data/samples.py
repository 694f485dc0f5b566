"""Paths of the data sets that the package contains; each has its license beside it."""

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


def is_of_package(paths):
    """Whether every path is one of the package's own data files."""
    return all(Path(path).parent == FILES for path in paths)
