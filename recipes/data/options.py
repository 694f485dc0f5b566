"""Options that say which data files a recipe reads."""

import dataclasses

from ..options import option
from .samples import is_of_package


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Data files of a recipe; each field is a flag.

    A recipe subclasses it: it sets the default of `train`, and adds options such as the vocabulary
    size. Among them are `max_source_length` and `max_target_length`, unless it overrides
    `max_lengths`.
    """

    train: tuple[str, ...] = option((), "training data; plain or .gz")
    valid: tuple[str, ...] = option(
        (),
        "held-out data in the same format, which selects the best weights; default: a part of "
        "--train, or the .valid. file of the data of the package",
    )
    test: tuple[str, ...] = option((), "test data, scored after training; default: --valid")

    def __post_init__(self):
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
        """All data files, including held-out files of the package."""
        return (*self.train, *self.held_out, *self.test)
