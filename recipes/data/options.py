"""Options that say which data files a recipe reads."""

import dataclasses
import os
from typing import ClassVar

from ..options import option
from .samples import is_of_package


def vocabulary_help(automatic_size: int) -> str:
    """Return the help text of `vocabulary_size`.

    Args:
        automatic_size: Number of subwords that 0 stands for.

    Example:
        >>> from seq2lite.recipes.data.options import vocabulary_help
        >>> vocabulary_help(4000)
        'number of subwords of a learned vocabulary; 0: 4000, or fewer for a small text'
    """
    return f"number of subwords of a learned vocabulary; 0: {automatic_size}, or fewer for a small text"


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Data files of a recipe; each field is a flag.

    A recipe subclasses it: it sets the default of `train`, and adds options such as the vocabulary
    size. Among them are `max_source_length` and `max_target_length`, unless it overrides
    `max_lengths`.
    """

    train: tuple[str, ...] = option((), "training data")
    valid: tuple[str, ...] = option(
        (),
        "held-out data in the same format, which selects the best weights; default: a part of "
        "--train, or the .valid. file of the data of the package",
    )
    test: tuple[str, ...] = option((), "test data, scored after training; default: --valid")
    columns: tuple[str, ...] = option(
        (),
        "names of the columns to read, in the first row or among the keys of a table, or numbers from "
        "1; default: the only ones, or those with usual names, such as en and ko",
    )

    def __post_init__(self):
        _expand_users(self, "train", "valid", "test")
        self.check_files()

    def check_files(self) -> None:
        """Raise ValueError unless `train` and `valid` are a file each, or a file for each side."""
        for name, paths, minimum in (("train", self.train, 1), ("valid", self.valid, 0)):
            if not minimum <= len(paths) <= 2:
                raise ValueError(
                    f"`{name}` must be a file of pairs, or a file of sources and a file of "
                    f"targets. Received: {' '.join(paths) or 'none'}"
                )

    @property
    def max_lengths(self) -> tuple[int, int]:
        """Maximum source and target length in tokens."""
        # Options that a recipe adds.
        return self.max_source_length, self.max_target_length  # type: ignore[attr-defined]

    @property
    def default_languages(self) -> tuple[str, ...]:
        """Language tags of source and target, for the data of the package; none by default."""
        return ()

    @property
    def held_out(self) -> tuple[str, ...]:
        """Files of held-out pairs: `valid`, or those of the package for its training data."""
        if self.valid or not is_of_package(self.train):
            return self.valid
        return tuple(path.replace(".train.", ".valid.") for path in self.train)

    @property
    def files(self) -> tuple[str, ...]:
        """All files that are read, including held-out files of the package."""
        return (*self.train, *self.held_out, *self.test)


@dataclasses.dataclass(frozen=True)
class TokenizerOptions(DataOptions):
    """Data files of a recipe that can read tokenizers of the user; each field is a flag."""

    tokenizer: tuple[str, ...] = option(
        (),
        "SentencePiece model of your own, or one for the source and one for the target; default: made "
        "from --train",
    )

    def __post_init__(self):
        super().__post_init__()
        _expand_users(self, "tokenizer")
        if len(self.tokenizer) > 2:
            raise ValueError(
                "`tokenizer` must be a SentencePiece model, or one for the source and one for the "
                f"target. Received: {' '.join(self.tokenizer)}"
            )

    @property
    def files(self) -> tuple[str, ...]:
        """All files that are read, including held-out files of the package."""
        return (*super().files, *self.tokenizer)


@dataclasses.dataclass(frozen=True)
class VocabularyOptions(TokenizerOptions):
    """Data files and vocabularies of a recipe; each field is a flag.

    A recipe overrides `vocabulary_size`, to state its automatic size, which is
    `automatic_vocabulary_size`.
    """

    automatic_vocabulary_size: ClassVar[int] = 4000

    vocabulary_size: int = option(0, vocabulary_help(4000))
    separate_vocabularies: bool = option(
        False, "learn a vocabulary for each side, each of --vocabulary-size subwords"
    )

    def __post_init__(self):
        super().__post_init__()
        if self.tokenizer and (self.vocabulary_size or self.separate_vocabularies):
            name = "vocabulary_size" if self.vocabulary_size else "separate_vocabularies"
            raise ValueError(
                f"`{name}` must not be given with `tokenizer`, which has a vocabulary. "
                f"Received: {name}={getattr(self, name)}"
            )


def _expand_users(options, *names):
    """Replace `~` at the beginning of paths by the home folder, which a shell does not do after `=`."""
    for name in names:
        paths = tuple(os.path.expanduser(path) for path in getattr(options, name))
        object.__setattr__(options, name, paths)
