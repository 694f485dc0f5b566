"""Source text to padded arrays of ids, and generated ids to text, in one place for all callers."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from .tokenizer import Tokenizer
from .unicode import clean


def source_ids(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Encode source texts as the ids that a model reads.

    Args:
        tokenizer: Tokenizer of the source.
        texts: Source texts.
        max_length: Maximum number of ids, the end id included; longer sources are cut.

    Returns:
        A list of ids for each text, ended by `end_id`; an empty list for blank text.
    """
    return [
        ended(ids, max_length, tokenizer.end_id) if clean(text) else []
        for text, ids in zip(texts, tokenizer.encode(texts), strict=True)
    ]


def ended(ids: Sequence[int], max_length: int, end_id: int) -> list[int]:
    """Cut ids to a maximum length that includes the end id, and append the end id."""
    return [*ids[: max_length - 1], end_id]


def pad(rows: Sequence[Sequence[int]], pad_id: int, length: int | None = None) -> np.ndarray:
    """Pad rows of ids to an int32 array `(batch, length)`.

    Args:
        rows: Ids of each row.
        pad_id: Id that fills the end of shorter rows.
        length: Length of the array. Default: that of the longest row.
    """
    length = max(len(row) for row in rows) if length is None else length
    padded = np.full((len(rows), length), pad_id, np.int32)
    for row, ids in zip(padded, rows, strict=True):
        row[: len(ids)] = ids
    return padded


def batches_by_length(rows: Sequence[Sequence], batch_size: int) -> Iterator[list[int]]:
    """Yield the indices of non-empty rows in batches of similar length, the longest first.

    Similar lengths need little padding. Decreasing lengths spare a runtime from growing its tensors.
    """
    order = sorted((i for i, row in enumerate(rows) if len(row)), key=lambda i: -len(rows[i]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def decode(tokenizer: Tokenizer, tokens: Iterable, lengths: Iterable[int]) -> list[str]:
    """Decode generated tokens `(batch, length)`, of which the first `lengths (batch,)` count."""
    return tokenizer.decode(row[:length] for row, length in zip(tokens, lengths, strict=True))
