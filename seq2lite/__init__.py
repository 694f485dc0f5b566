"""Sequence-to-sequence models in Keras that end as one TFLite file.

`zoo` builds models, `recipes` train them, `export` writes and runs them. The three folders stand at
the root of the repository; the installed package joins them under this name.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("seq2lite")
except PackageNotFoundError:  # run from a copy that is not installed
    __version__ = "0+unknown"
