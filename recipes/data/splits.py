"""Splitting data into training, held-out and test pairs without overlap."""

import functools
import hashlib
from collections.abc import Callable, Iterable, Sequence

from .normalize import comparable
from .options import DataOptions
from .pairs import PART, Pairs, read_pairs
from .text_files import DataError

HELD_OUT_EVERY = 20  # one source in 20 is held out if no held-out files are given
MAX_HELD_OUT = 1000  # sources


def read_splits(
    options: DataOptions, read: Callable[..., Pairs] = read_pairs
) -> tuple[Pairs, Pairs, dict[str, Pairs]]:
    """Read the training, held-out and test pairs of a recipe.

    Args:
        options: The recipe's `DataOptions`.
        read: Function that reads the files of one split as `Pairs`, given `columns` too.

    Returns:
        The `Pairs` to train on, without the sources of the others; the held-out `Pairs`, read
        from `valid` or held out of `train`; and a dict of test name to `Pairs`, read from `test`.
        Without test files, the held-out pairs are the test.

    Raises:
        DataError: A file cannot be used, or no pairs remain to train on.

    Example:
        >>> from seq2lite.recipes import translate
        >>> from seq2lite.recipes.data.splits import read_splits
        >>> train, held_out, tests = read_splits(translate.Config().data)
        >>> len(train), len(held_out)
        (12722, 233)
    """
    read = functools.partial(read, columns=options.columns)
    train, tests = read(*options.train), {path: read(path) for path in options.test}
    if options.held_out:
        held_out, name = read(*options.held_out), options.held_out[0]
    else:
        train, held_out = hold_out(for_training(train, *tests.values()))
        name = held_out.origin
    tests = tests or {name: held_out}
    return for_training(train, held_out, *tests.values()), held_out, tests


def hold_out(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """Split pairs into training and held-out pairs: one source in 20, at most 1,000 sources.

    The choice depends on the letters of each source only, so adding a line changes it little.
    Sources that differ only in case, digits and punctuation stay on the same side; nearly equal
    sources may be on both sides. If the pairs have groups, groups are held out instead of sources.

    Args:
        pairs: The `Pairs` to split.

    Returns:
        The training and the held-out `Pairs`.

    Raises:
        DataError: There is only one source or group.

    Example:
        >>> from seq2lite.recipes.data.pairs import Pairs
        >>> from seq2lite.recipes.data.splits import hold_out
        >>> train, held_out = hold_out(Pairs([(f"{n} files", "") for n in "abcdefghij"]))
        >>> len(train), len(held_out)
        (9, 1)
    """
    groups = pairs.groups or [source for source, _ in pairs]
    keys = [comparable(group) or group for group in groups]
    order = sorted(set(keys), key=lambda key: hashlib.sha256(key.encode()).digest())
    if len(order) < 2:
        kind = "text" if pairs.groups else "source"
        raise DataError(
            f"{pairs.origin} must contain several {kind}s, to hold some out. Add data or give "
            f"--valid. Received: a single {kind}"
        )
    held_out = set(order[: min(MAX_HELD_OUT, -(-len(order) // HELD_OUT_EVERY))])
    sides = [[i for i, key in enumerate(keys) if (key in held_out) == side] for side in (0, 1)]
    train = pairs.subset(sides[0], pairs.origin, pairs.dropped)
    return train, pairs.subset(sides[1], PART + pairs.origin)


def for_training(pairs: Pairs, *held_out: Iterable[tuple[str, str]]) -> Pairs:
    """Drop duplicates, and pairs whose source or group is held out.

    Args:
        pairs: The `Pairs` to train on.
        held_out: `Pairs`, or lists of (source, target), for evaluation.

    Returns:
        The remaining `Pairs`. Their attribute `dropped` counts the others by reason.

    Raises:
        DataError: No pairs remain.

    Example:
        >>> from seq2lite.recipes.data.pairs import Pairs
        >>> from seq2lite.recipes.data.splits import for_training
        >>> kept = for_training(Pairs([("a", "b"), ("a", "b"), ("c", "d")]), [("c", "e")])
        >>> kept, kept.dropped
        ([('a', 'b')], {'duplicate': 1, 'held-out source': 1})
    """
    first = {pair: i for i, pair in reversed(list(enumerate(pairs)))}
    sources = {source for part in held_out for source, _ in part}
    kept = pairs.select(sorted(first.values()), "duplicate")
    kept = kept.filter(lambda source, _: source not in sources, "held-out source")
    if kept.groups:
        groups = {group for part in held_out for group in getattr(part, "groups", None) or ()}
        allowed = [i for i, group in enumerate(kept.groups) if group not in groups]
        kept = kept.select(allowed, "held-out text")
    if not kept:
        raise DataError(
            f"{pairs.origin} must contain pairs whose sources are not held out. "
            f"Received: {len(pairs)} pairs, all held out"
        )
    return kept


def spread(items: Sequence, count: int) -> Sequence:
    """Pick at most `count` items at even distances.

    Example:
        >>> from seq2lite.recipes.data.splits import spread
        >>> spread(list(range(10)), 3)
        [0, 4, 8]
    """
    return items[:: max(1, -(-len(items) // count))] if count else []
