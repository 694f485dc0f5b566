"""Sequence-to-sequence models in Keras, exported to one TFLite file.

`zoo` builds models, `recipes` trains them, and `export` writes and runs TFLite files. The three folders
are at the root of the repository. The installed package contains them under this name.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("seq2lite")
except PackageNotFoundError:  # run from a copy that is not installed
    __version__ = "0+unknown"
