"""Batches of similar lengths."""

import numpy as np

# Lengths that batches are padded to where each shape of a batch costs a compilation.
MORE_PADDING = 0.02  # places, as a part of all, that may be added to have fewer shapes still


BOUNDS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)


def _rounded_up(lengths, limits):
    """To the next of BOUNDS, or multiple of the last of them, but no further than the limit."""
    bounds = np.array(
        [*BOUNDS, *range(2 * BOUNDS[-1], int(lengths.max()) + BOUNDS[-1], BOUNDS[-1])]
    )
    return np.minimum(bounds[np.searchsorted(bounds, lengths)], limits).astype(np.int32)


def _of_few_shapes(lengths):
    """Longer, so that fewer pairs of lengths occur: the cheapest two become one, again and again.

    Args:
        lengths: int32 `(2, pairs)`.

    Returns:
        The same, with up to MORE_PADDING more places.
    """
    shapes, shape_of, counts = np.unique(lengths, axis=1, return_inverse=True, return_counts=True)
    merged = shapes.copy()  # what each of them has become
    allowed = MORE_PADDING * lengths.sum()
    while True:
        kept, member = np.unique(merged, axis=1, return_inverse=True)
        sizes = np.bincount(member.ravel(), counts)
        joined = np.maximum(kept[:, :, None], kept[:, None, :])
        # Places of each pair of shapes as one, less those of both.
        places = sizes * kept.sum(axis=0)
        added = (sizes[:, None] + sizes) * joined.sum(axis=0) - places[:, None] - places
        np.fill_diagonal(added, np.inf)
        i, j = np.unravel_index(np.argmin(added), added.shape)
        if added[i, j] > allowed:
            return merged[:, shape_of.ravel()]
        allowed -= added[i, j]
        is_joined = np.isin(member.ravel(), (i, j))
        merged[:, is_joined] = joined[:, i, j][:, None]


def _best_cut(lengths, batch_tokens, rows_multiple, fixed_rows):
    """The key that pairs are sorted by, and `_cut` of them, so that the least is padding.

    Pairs are put into classes by the length of the source, as many pairs in each, and sorted by the
    target in each class: with few classes sources of one batch differ, with many targets do.
    """
    num_pairs = lengths.shape[1]
    counts = np.bincount(lengths[0])
    num_shorter = (np.cumsum(counts) - counts)[lengths[0]]  # pairs with a shorter source, of each
    least = None
    for num_classes in (1, 2, 4, 8, 16, 32, 64, num_pairs):
        classes = num_shorter * num_classes // num_pairs
        # The source last: whoever is shuffled among those of one key, the shapes stay.
        sizes = lengths.max(axis=1).astype(np.int64) + 1
        key = (classes * sizes[1] + lengths[1]) * sizes[0] + lengths[0]
        splits, shapes = _cut(
            lengths[:, np.argsort(key, kind="stable")], batch_tokens, rows_multiple, fixed_rows
        )
        places = int((shapes[:, 0:1] * shapes[:, 1:]).sum())
        if least is None or places < least[0]:
            least = places, (key, splits, shapes)
    return least[1]


def _cut(lengths, batch_tokens, rows_multiple, fixed_rows):
    """Where to cut pairs that are sorted by length, so that each batch has about `batch_tokens`.

    Args:
        lengths: `(2, pairs)`.
        batch_tokens: Most places of a batch, of its longer side.
        rows_multiple: What the number of rows is a multiple of.
        fixed_rows: Whether batches of one shape have one number of rows.

    Returns:
        int32 `(batches + 1,)`, where batches begin and end; int32 `(batches, 3)`, rows, source
        length and target length of each.
    """

    def most_rows(source, target):
        return max(batch_tokens // max(source, target) // rows_multiple, 1) * rows_multiple

    splits, shapes = [0], []
    rows = longest_source = longest_target = 0
    for source, target in [*zip(*lengths.tolist(), strict=True), (None, None)]:
        if source is not None:
            grown = max(source, longest_source), max(target, longest_target)
            is_other = fixed_rows and grown != (longest_source, longest_target)
        if rows and (source is None or is_other or rows >= most_rows(*grown)):
            if fixed_rows:
                full = most_rows(longest_source, longest_target)
            else:
                full = -(-rows // rows_multiple) * rows_multiple
            shapes.append((full, longest_source, longest_target))
            splits.append(splits[-1] + rows)
            rows, grown = 0, (source, target)
        rows += 1
        longest_source, longest_target = grown
    return np.array(splits, np.int32), np.array(shapes, np.int32)
