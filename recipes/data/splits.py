"""Training, held-out and test splits."""

import hashlib

from .normalize import comparable
from .pairs import PART, read_pairs
from .samples import is_of_package
from .text_files import DataError

HELD_OUT = 20  # one source of so many is held out where no held-out pairs are given


MAX_HELD_OUT = 1000


def read_splits(config, read=read_pairs):
    """What a recipe trains on, what it holds out, and what it is scored on in the end.

    Args:
        config: A recipe's Config, with the files `train`, `valid` and `test`.
        read: What makes `Pairs` of the files of a split.

    Returns:
        `Pairs` to train on, none of whose sources is in the others; `Pairs` held out: of `valid`, or
        `hold_out` of `train`; and a dict, name of a test to its `Pairs`: `test`, or what is held out.
    """
    train, valid = read(*config.train), held_out_files(config.train, config.valid)
    tests = {path: read(path) for path in config.test}
    if valid:
        held_out, name = read(*valid), valid[0]
    else:
        train, held_out = hold_out(for_training(train, *tests.values()))
        name = held_out.origin
    tests = tests or {name: held_out}
    return for_training(train, held_out, *tests.values()), held_out, tests


def input_files(config):
    """All data files of a recipe's Config."""
    return (*config.train, *held_out_files(config.train, config.valid), *config.test)


def held_out_files(train, valid):
    """`valid`; if that is empty, and `train` the package's own data, the held-out part of that."""
    if valid or not is_of_package(train):
        return tuple(valid)
    return tuple(path.replace(".train.", ".valid.") for path in train)


def hold_out(pairs):
    """Parts `pairs` in those to train on and those held out: one source in 20, at most 1,000 sources.

    Which ones hangs on their letters alone, so that a line more changes little. Sources that differ in
    case, digits and punctuation only are on one side; text that is nearly the same may be on both.
    Where the pairs have groups, these take the place of the sources.

    Args:
        pairs: `Pairs`.

    Returns:
        Two `Pairs`.

    Raises:
        DataError: There is but one source, or one group.

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
        raise DataError(
            f"{pairs.origin} must hold several {'texts' if pairs.groups else 'sources'}, of which "
            f"some are held out. Received: {len(pairs)} pairs of one"
        )
    chosen = set(order[: min(MAX_HELD_OUT, -(-len(order) // HELD_OUT))])
    numbers = [
        [i for i, key in enumerate(keys) if (key in chosen) == side] for side in (False, True)
    ]
    train = pairs.part(numbers[0], pairs.origin, pairs.dropped)
    return train, pairs.part(numbers[1], PART + pairs.origin)


def for_training(pairs, *held_out):
    """What of `pairs` may be trained on: each pair once, and none whose source is held out.

    Nor any of a group that is held out, where the pairs have groups.

    Args:
        pairs: `Pairs` to train on.
        held_out: `Pairs`, or lists of (source, target), that scores are measured on.

    Returns:
        `Pairs`; `dropped` says how many were left out, and why.

    Raises:
        DataError: Nothing is left.

    Example:
        >>> from seq2lite.recipes.data.pairs import Pairs
        >>> from seq2lite.recipes.data.splits import for_training
        >>> kept = for_training(Pairs([("a", "b"), ("a", "b"), ("c", "d")]), [("c", "e")])
        >>> kept, kept.dropped
        ([('a', 'b')], {'a duplicate': 1, 'a held-out source': 1})
    """
    seen = set()

    def is_new(*pair):
        return pair not in seen and (seen.add(pair) or True)

    sources = {source for some in held_out for source, _ in some}
    kept = pairs.where(is_new, "a duplicate")
    kept = kept.where(lambda source, _: source not in sources, "a held-out source")
    if kept.groups:
        groups = {group for some in held_out for group in getattr(some, "groups", None) or ()}
        numbers = [i for i, group in enumerate(kept.groups) if group not in groups]
        kept = kept.only(numbers, "a held-out text")
    if not kept:
        raise DataError(
            f"{pairs.origin} must hold pairs whose sources are not held out. Received: none of "
            f"{len(pairs)}"
        )
    return kept


def spread(items, count):
    """At most `count` of a list, from all over it."""
    return items[:: max(1, -(-len(items) // count))] if count else []
