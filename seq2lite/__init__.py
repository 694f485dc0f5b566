"""Sequence-to-sequence models in Keras, exported to one TFLite file.

`zoo` builds models, `recipes` trains them, and `export` writes and runs TFLite files. The three folders
are at the root of the repository. The installed package contains them under this name.
"""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    __version__ = version("seq2lite")
except PackageNotFoundError:  # run from a copy that is not installed
    __version__ = "0+unknown"

# In the root of a clone, Python imports the repository's folder `seq2lite` instead of an installed
# package. That folder lacks the other three, which stand beside it.
_folder = Path(__file__).parent
if not (_folder / "zoo").exists() and all((_folder.parent / n).is_dir() for n in ("zoo", "export")):
    __path__.append(str(_folder.parent))
