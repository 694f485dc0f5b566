"""Train, validation and test sets that share nothing, nearly equal text included."""

import hashlib
from collections import defaultdict

import numpy as np

from ..data.normalize import comparable
from .download import FetchError

NEAR = 0.7  # Jaccard similarity of letter trigrams from which two texts count as the same


BITS = 11


NUM_BINS = 1 << BITS


MARGIN = 0.1


CHUNK = 2048  # texts compared at once: a matrix of 16 MB


def split(rows, sizes, *, near=NEAR, group=None, eligible=None, seed=1):
    """Splits rows so that no text of one held-out set is, nearly, in another set or in `train`.

    Rows that have a source or a target in common (by `comparable`), or a group, stay together.
    Groups are drawn in an order that hangs on their text and `seed` alone, so that a row more
    changes little. Then every row that nearly equals a held-out one, on either side, is dropped
    from `train` (and from the set filled later).

    Args:
        rows: List of (source, target, …), tuples of str.
        sizes: Dict, name of a held-out set to the number of rows wanted, in the order of filling.
        near: Jaccard similarity of letter trigrams from which two texts are the same; None: texts
            that are equal by `comparable` only.
        group: Function of a row; rows of one group stay together. Default: none.
        eligible: Function of a row and a set's name: whether it may be in that set. Default: yes.
        seed: Whole number.

    Returns:
        A dict, each name of `sizes` and `train` to its rows, sorted.

    Raises:
        FetchError: Not enough rows.

    Example:
        >>> from seq2lite.recipes.fetch.split import split
        >>> rows = [("one", "eins"), ("One!", "Eins!"), ("two", "zwei"), ("three", "drei")]
        >>> {name: len(part) for name, part in split(rows, {"test": 1}).items()}
        {'test': 1, 'train': 3}
    """
    rows = sorted({row for row in rows if comparable(row[0]) and comparable(row[1])})
    families = list(_families(rows, group))
    parts, used = {}, set()
    for name, size in sizes.items():
        taken = []
        # An order of its own for each set: what one passes over is nothing that the next begins with.
        draws = [_draw(rows[family[0]], f"{seed} {name}") for family in families]
        for number in sorted(range(len(families)), key=draws.__getitem__):
            family = families[number]
            # A large family is one common word and all that is translated by it: no test of much.
            fits = len(taken) + len(family) <= size and len(family) <= max(2, size // 10)
            if number in used or not fits:
                continue
            if eligible is None or all(eligible(rows[i], name) for i in family):
                taken += family
                used.add(number)
            if len(taken) == size:
                break
        if len(taken) < 0.9 * size:
            raise FetchError(
                f"`sizes` must leave enough rows. Received: {name}={size}, but only "
                f"{len(taken)} of {len(rows)} rows can be held out"
            )
        parts[name] = [rows[i] for i in taken]
    parts["train"] = [rows[i] for n, f in enumerate(families) if n not in used for i in f]
    kept = {}
    for name, part in parts.items():
        earlier = [row for other in kept.values() for row in other]
        leaks = find_leaks(part, earlier, near)
        kept[name] = sorted(row for row in part if row not in leaks)
    return kept


def find_leaks(rows, held_out, near=NEAR):
    """Those of `rows` whose source or target is, nearly, one of `held_out`: a set."""
    leaks = set()
    for side in (0, 1):
        texts = {row: comparable(row[side]) for row in rows}
        found = _similar(set(texts.values()), {comparable(row[side]) for row in held_out}, near)
        leaks |= {row for row, text in texts.items() if text in found}
    return leaks


def _families(rows, group):
    """Lists of row numbers that are bound together, by union-find."""
    parent = list(range(len(rows)))

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first = {}
    for i, row in enumerate(rows):
        keys = [("source", comparable(row[0])), ("target", comparable(row[1]))]
        keys += [("group", group(row))] if group else []
        for key in keys:
            a, b = root(i), root(first.setdefault(key, i))
            parent[max(a, b)] = min(a, b)
    families = defaultdict(list)
    for i in range(len(rows)):
        families[root(i)].append(i)
    return families.values()


def _draw(row, seed):
    return hashlib.sha256(f"{seed}\t{row[0]}\t{row[1]}".encode()).digest()


def _similar(texts, held_out, near):
    """The texts that are equal to a held-out one, or of a Jaccard similarity of `near` to it.

    Every text against every held-out one is one matrix product of 0s and 1s, over trigrams hashed
    to NUM_BINS columns; what may be near by it (collisions: MARGIN) is then compared exactly.
    """
    found = texts & held_out
    left, others = sorted(texts - found), sorted(held_out)
    if near is None or not left or not others:
        return found
    known = _binned(others)
    known_sizes = known.sum(1)
    for start in range(0, len(left), CHUNK):
        chunk = left[start : start + CHUNK]
        binned = _binned(chunk)
        common = binned @ known.T
        union = binned.sum(1)[:, None] + known_sizes - common
        for i, j in np.argwhere(common >= (near - MARGIN) * union):
            if chunk[i] not in found and _jaccard(chunk[i], others[j]) >= near:
                found.add(chunk[i])
    return found


def _binned(texts):
    """Which bins each text's trigrams fall into: float32 `(texts, NUM_BINS)` of 0s and 1s."""
    bins = np.zeros((len(texts), NUM_BINS), np.float32)
    for row, text in zip(bins, texts, strict=True):
        codes = np.frombuffer(text.ljust(3).encode("utf-32-le"), np.uint32)
        grams = (codes[:-2] * np.uint32(31) + codes[1:-1]) * np.uint32(1009) + codes[2:]
        row[grams * np.uint32(0x9E3779B1) >> np.uint32(32 - BITS)] = 1
    return bins


def _jaccard(a, b):
    a, b = _trigrams(a), _trigrams(b)
    common = len(a & b)
    return common / (len(a) + len(b) - common)


def _trigrams(text):
    return {text[i : i + 3] for i in range(max(1, len(text) - 2))}
