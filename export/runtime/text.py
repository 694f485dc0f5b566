"""Source text to padded arrays of ids, and generated ids to text, in one place for all callers."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from .checks import is_unicode, require
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


def prefix_ids(
    tokenizer: Tokenizer, prefix: str | Sequence[str], count: int, max_length: int
) -> np.ndarray:
    """Encode the texts that targets begin with, as a padded array.

    Args:
        tokenizer: Tokenizer of the target.
        prefix: A text for all targets, or a text for each.
        count: Number of targets.
        max_length: Maximum number of tokens of a target.

    Raises:
        ValueError: `prefix` is neither, or is too long.
    """
    texts = [prefix] * count if isinstance(prefix, str) else prefix
    is_list = isinstance(texts, (list, tuple)) and len(texts) == count
    is_valid = is_list and all(isinstance(text, str) and is_unicode(text) for text in texts)
    require(is_valid, f"a text, or a text for each of {count} sources", prefix=prefix)
    rows = tokenizer.encode(texts)
    is_valid = all(len(row) <= max_length for row in rows)
    require(is_valid, f"at most max_length={max_length} tokens long", prefix=prefix)
    return pad(rows, tokenizer.pad_id, max(map(len, rows), default=0))


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


def stream_text(tokenizer: Tokenizer, tokens: Iterable[int]) -> Iterator[str]:
    """Yield the text of tokens piece by piece, as soon as later tokens cannot change it.

    A subword is one piece. Bytes are held back until they complete a character, and a token without
    text yields nothing. The joined pieces are the decoded tokens.

    Args:
        tokenizer: Tokenizer of the target.
        tokens: Ids, without start and end.

    Example:
        >>> from seq2lite.export.runtime.text import stream_text
        >>> ids = tokenizer.encode(["Open the file"])[0]
        >>> "".join(stream_text(tokenizer, ids))
        'Open the file'
    """
    ids, text, sent = [], "", 0
    for token in tokens:
        ids.append(token)
        text = tokenizer.decode([ids])[0]
        complete = len(text.rstrip("\ufffd"))  # stands for bytes that are no character yet
        if complete > sent:
            yield text[sent:complete]
            sent = complete
    if len(text) > sent:
        yield text[sent:]  # bytes that never became a character
