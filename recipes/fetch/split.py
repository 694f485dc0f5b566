"""Split without leaks: no held-out text is in the training set, not even nearly."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np

from ..data.normalize import comparable
from .errors import FetchError

Row = tuple[str, ...]

NEAR = 0.7  # Jaccard similarity of letter trigrams from which two texts count as the same
MIN_FILLED = 0.9  # of a held-out split's size
BITS = 11
NUM_BINS = 1 << BITS
MARGIN = 0.1
CHUNK = 2048  # texts that are compared at once: a matrix of 16 MB


def split(
    rows: Iterable[Row],
    sizes: Mapping[str, int],
    *,
    near: float | None = NEAR,
    group: Callable[[Row], str] | None = None,
    eligible: Callable[[Row, str], bool] | None = None,
    seed: int = 1,
) -> dict[str, list[Row]]:
    """Split rows so that no held-out text, nor one nearly equal to it, is in another split.

    Rows with the same source, the same target (by `comparable`) or the same group stay in one
    split. Groups are drawn in an order that depends only on their text and `seed`, so that another
    row changes little. Each row that is nearly equal to a held-out one, on either side, is then
    dropped from `train` and from the splits that are filled later.

    Args:
        rows: Iterable of tuples of str, `(source, target, …)`.
        sizes: Mapping of each held-out split's name to its number of rows, in the order of filling.
        near: Float, minimum Jaccard similarity of letter trigrams for which two texts count as the
            same. None compares texts by `comparable` alone. Default: 0.7.
        group: Function of a row. Rows with the same value stay in one split. Default: none.
        eligible: Function of a row and a split's name. It returns whether the row may be in that
            split. Default: any row may be in any split.
        seed: Int. Default: 1.

    Returns:
        Dict of each split's name, `train` among them, to its sorted rows.

    Raises:
        FetchError: There are too few rows to fill a split.

    Example:
        >>> from seq2lite.recipes.fetch.split import split
        >>> rows = [("one", "eins"), ("One!", "Eins!"), ("two", "zwei"), ("three", "drei")]
        >>> {name: len(part) for name, part in split(rows, {"test": 1}).items()}
        {'test': 1, 'train': 3}
    """
    unique = sorted({row for row in rows if comparable(row[0]) and comparable(row[1])})
    groups = _connected_groups(unique, group)
    splits: dict[str, list[Row]] = {}
    used: set[int] = set()
    for name, size in sizes.items():
        chosen: list[int] = []
        # Each split has its own order, so that it does not begin with what another one rejected.
        keys = [_draw(unique[numbers[0]], f"{seed} {name}") for numbers in groups]
        for i in sorted(range(len(groups)), key=keys.__getitem__):
            numbers = groups[i]
            fits = len(chosen) + len(numbers) <= size
            is_small = len(numbers) <= max(2, size // 10)  # else a common word's translations
            if i in used or not (fits and is_small):
                continue
            if eligible is None or all(eligible(unique[number], name) for number in numbers):
                chosen += numbers
                used.add(i)
            if len(chosen) == size:
                break
        if len(chosen) < MIN_FILLED * size:
            raise FetchError(
                f"`rows` must be enough to hold out {size:,} for {name}. Received: {len(unique):,} "
                f"rows, of which {len(chosen):,} can be held out"
            )
        splits[name] = [unique[number] for number in chosen]
    rest = (numbers for i, numbers in enumerate(groups) if i not in used)
    splits["train"] = [unique[number] for numbers in rest for number in numbers]
    kept: dict[str, list[Row]] = {}
    for name, part in splits.items():
        leaks = find_leaks(part, [row for other in kept.values() for row in other], near)
        kept[name] = sorted(row for row in part if row not in leaks)
    return kept


def find_leaks(rows: Sequence[Row], held_out: Sequence[Row], near: float | None = NEAR) -> set[Row]:
    """Find the rows whose source or target is nearly equal to a held-out one.

    Args:
        rows: Sequence of tuples of str, `(source, target, …)`.
        held_out: Sequence of the same form.
        near: As in `split`.
    """
    leaks: set[Row] = set()
    for side in (0, 1):
        texts = {row: comparable(row[side]) for row in rows}
        found = _similar(set(texts.values()), {comparable(row[side]) for row in held_out}, near)
        leaks |= {row for row, text in texts.items() if text in found}
    return leaks


def _connected_groups(rows: Sequence[Row], group: Callable[[Row], str] | None) -> list[list[int]]:
    """Numbers of the rows that are connected by a source, a target or a group: union-find."""
    parent = list(range(len(rows)))

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, row in enumerate(rows):
        keys = [("source", comparable(row[0])), ("target", comparable(row[1]))]
        keys += [("group", group(row))] if group else []
        for key in keys:
            a, b = root(i), root(first.setdefault(key, i))
            parent[max(a, b)] = min(a, b)
    groups = defaultdict(list)
    for i in range(len(rows)):
        groups[root(i)].append(i)
    return list(groups.values())


def _draw(row: Row, seed: str) -> bytes:
    return hashlib.sha256(f"{seed}\t{row[0]}\t{row[1]}".encode()).digest()


def _similar(texts: set[str], held_out: set[str], near: float | None) -> set[str]:
    """Find the texts that are equal to a held-out one, or have at least the similarity `near`.

    One matrix product compares all texts with all held-out ones. Its columns are trigrams hashed
    into NUM_BINS bins. Pairs that may be similar, given MARGIN for collisions, are then compared
    exactly.
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
            if chunk[i] not in found and jaccard_similarity(chunk[i], others[j]) >= near:
                found.add(chunk[i])
    return found


def _binned(texts: Collection[str]) -> np.ndarray:
    """Bins of each text's trigrams: float32 `(texts, NUM_BINS)`, 1 where a trigram is in the bin."""
    bins = np.zeros((len(texts), NUM_BINS), np.float32)
    for row, text in zip(bins, texts, strict=True):
        codes = np.frombuffer(text.ljust(3).encode("utf-32-le"), np.uint32)
        grams = (codes[:-2] * np.uint32(31) + codes[1:-1]) * np.uint32(1009) + codes[2:]
        row[grams * np.uint32(0x9E3779B1) >> np.uint32(32 - BITS)] = 1
    return bins


def jaccard_similarity(a: str, b: str) -> float:
    """Number of trigrams that two texts share, divided by the number of those in either.

    Example:
        >>> from seq2lite.recipes.fetch.split import jaccard_similarity
        >>> jaccard_similarity("openfile", "openfiles")
        0.8571428571428571
    """
    ours, theirs = _trigrams(a), _trigrams(b)
    return len(ours & theirs) / len(ours | theirs)


def _trigrams(text: str) -> set[str]:
    return {text[i : i + 3] for i in range(max(1, len(text) - 2))}
