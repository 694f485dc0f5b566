"""The description of the sources that a model reads."""

from dataclasses import dataclass

from .checks import is_number, is_positive_integer, require, require_one_of


@dataclass(frozen=True)
class SourceSpec:
    """Data type, shape and padding of the sources that a model reads.

    Args:
        dtype: `"int32"` for token ids, `(batch, length)`; `"float32"` for features, `(batch, length,
            features)`.
        padding: Value that fills the end of shorter sources: an id, or a number such as 0.0. A
            feature vector is padding if all its features equal it.
        features: Number of features; None for ids.

    Raises:
        ValueError: The data type is another one, or does not suit `features`.

    Example:
        >>> from seq2lite import zoo
        >>> zoo.SourceSpec("float32", padding=0.0, features=80).shape(batch=1)
        (1, None, 80)
    """

    dtype: str
    padding: int | float
    features: int | None = None

    def __post_init__(self):
        require_one_of("dtype", self.dtype, ("int32", "float32"))
        expected, is_valid = "None", self.features is None
        if self.dtype == "float32":
            expected, is_valid = "a positive int", is_positive_integer(self.features)
        require(is_valid, f"{expected} with dtype={self.dtype!r}", features=self.features)
        require(is_number(self.padding), "a number", padding=self.padding)

    def shape(self, batch: int | None = None, length: int | None = None) -> tuple:
        """Shape of a source; None for a size that is not known."""
        return (batch, length) if self.features is None else (batch, length, self.features)
