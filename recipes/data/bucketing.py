"""Cutting an epoch into batches of similar lengths."""

import dataclasses

import numpy as np

# Lengths to pad to where every new shape of a batch costs a compilation.
BOUNDS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
MAX_ADDED_PADDING = (
    0.02  # padding that may be added to have fewer shapes, as a fraction of all tokens
)


@dataclasses.dataclass(frozen=True)
class Buckets:
    """The batches of an epoch: how pairs are sorted, where they are cut, and to which shapes.

    Attributes:
        sort_key: int64 `(pairs,)`. Pairs are sorted by it; those with equal keys may be shuffled.
        splits: int32 `(batches + 1,)`. Batch i contains the sorted pairs `splits[i]` up to, but not
            including, `splits[i + 1]`.
        shapes: int32 `(batches, 3)`. Rows, source length and target length of each batch, padding
            included.
    """

    sort_key: np.ndarray
    splits: np.ndarray
    shapes: np.ndarray

    @property
    def padded_size(self) -> int:
        """Source and target tokens of all batches, padding included."""
        return int((self.shapes[:, :1] * self.shapes[:, 1:]).sum())


def make_buckets(
    lengths: np.ndarray,
    max_lengths: tuple[int, int],
    batch_tokens: int,
    rows_multiple: int = 1,
    few_shapes: bool = False,
) -> Buckets:
    """Cut pairs of similar lengths into batches, with as little padding as possible.

    Args:
        lengths: int32 `(2, pairs)`. Source and target lengths.
        max_lengths: Maximum lengths that sources and targets are padded to.
        batch_tokens: Maximum number of pairs in a batch times the longer of its two lengths.
        rows_multiple: Number that divides the rows of each batch. Default: 1.
        few_shapes: Whether to pad further, so that batches have few different shapes. Batches of
            one length then also have one number of rows. Default: False.

    Example:
        >>> import numpy as np
        >>> from seq2lite.recipes.data.bucketing import make_buckets
        >>> lengths = np.array([[3, 9, 3, 9], [4, 8, 4, 8]], np.int32)
        >>> make_buckets(lengths, max_lengths=(16, 16), batch_tokens=18).shapes.tolist()
        [[2, 3, 4], [2, 9, 8]]
    """
    if few_shapes:
        lengths = merge_shapes(round_up(lengths, np.array(max_lengths)[:, None]))
    num_pairs = lengths.shape[1]
    counts = np.bincount(lengths[0])
    num_shorter = (np.cumsum(counts) - counts)[lengths[0]]  # pairs with a shorter source
    candidates = []
    # Pairs are divided into classes of equal size by source length, and sorted by target length in
    # each class. Few classes mix source lengths in a batch, many classes mix target lengths.
    for num_classes in (1, 2, 4, 8, 16, 32, 64, num_pairs):
        classes = num_shorter * num_classes // num_pairs
        # The source length comes last: pairs with equal keys are alike, in any order.
        sizes = lengths.max(axis=1).astype(np.int64) + 1
        key = (classes * sizes[1] + lengths[1]) * sizes[0] + lengths[0]
        ordered = lengths[:, np.argsort(key, kind="stable")]
        cut = _cut(ordered, batch_tokens, rows_multiple, few_shapes)
        candidates.append(Buckets(key, *cut))
    return min(candidates, key=lambda buckets: buckets.padded_size)


def round_up(lengths: np.ndarray | int, max_lengths: np.ndarray | int) -> np.ndarray:
    """Round up to the next of BOUNDS, or multiple of the last one, but not above a maximum.

    Example:
        >>> from seq2lite.recipes.data.bucketing import round_up
        >>> round_up([5, 60, 60, 1500], [96, 96, 62, 4096]).tolist()
        [8, 64, 62, 2048]
    """
    multiples = range(2 * BOUNDS[-1], int(np.max(lengths)) + BOUNDS[-1], BOUNDS[-1])
    bounds = np.array([*BOUNDS, *multiples])
    return np.minimum(bounds[np.searchsorted(bounds, lengths)], max_lengths).astype(np.int32)


def merge_shapes(lengths: np.ndarray) -> np.ndarray:
    """Increase lengths so that fewer (source, target) shapes occur.

    Merges the two shapes that need the fewest additional tokens, and repeats while the added padding stays
    below MAX_ADDED_PADDING.

    Args:
        lengths: int32 `(2, pairs)`.

    Returns:
        int32 `(2, pairs)`. Lengths that are equal or greater.

    Example:
        >>> import numpy as np
        >>> from seq2lite.recipes.data.bucketing import merge_shapes
        >>> merge_shapes(np.array([[64, 64, 63], [64, 64, 64]])).tolist()
        [[64, 64, 64], [64, 64, 64]]
    """
    shapes, shape_of, counts = np.unique(lengths, axis=1, return_inverse=True, return_counts=True)
    merged = shapes.copy()  # the shape that each of `shapes` is padded to
    allowed = MAX_ADDED_PADDING * lengths.sum()
    while True:
        kept, member = np.unique(merged, axis=1, return_inverse=True)
        num_pairs = np.bincount(member.ravel(), counts)
        joined = np.maximum(kept[:, :, None], kept[:, None, :])
        # Padded size of every two shapes when merged, minus that of both.
        size = num_pairs * kept.sum(axis=0)
        added = (num_pairs[:, None] + num_pairs) * joined.sum(axis=0) - size[:, None] - size
        np.fill_diagonal(added, np.inf)
        i, j = np.unravel_index(np.argmin(added), added.shape)
        if added[i, j] > allowed:
            return merged[:, shape_of.ravel()]
        allowed -= added[i, j]
        is_joined = np.isin(member.ravel(), (i, j))
        merged[:, is_joined] = joined[:, i, j][:, None]


def _cut(lengths, batch_tokens, rows_multiple, fixed_rows):
    """Cut sorted pairs into batches.

    Args:
        lengths: int32 `(2, pairs)`.
        batch_tokens: Maximum number of rows times the longer side.
        rows_multiple: Number that divides the rows of each batch.
        fixed_rows: Whether batches of one shape have one number of rows.

    Returns:
        `splits` and `shapes` of `Buckets`.
    """

    def max_rows(source, target):
        return max(batch_tokens // max(source, target) // rows_multiple, 1) * rows_multiple

    splits, shapes = [0], []
    num_rows = source_length = target_length = 0

    def close_batch():
        if fixed_rows:
            padded_rows = max_rows(source_length, target_length)
        else:
            padded_rows = -(-num_rows // rows_multiple) * rows_multiple
        shapes.append((padded_rows, source_length, target_length))
        splits.append(splits[-1] + num_rows)

    for source, target in zip(*lengths.tolist(), strict=True):
        longer = max(source, source_length), max(target, target_length)
        is_new_shape = fixed_rows and longer != (source_length, target_length)
        if num_rows and (is_new_shape or num_rows >= max_rows(*longer)):
            close_batch()
            num_rows, longer = 0, (source, target)
        num_rows += 1
        source_length, target_length = longer
    close_batch()
    return np.array(splits, np.int32), np.array(shapes, np.int32)
