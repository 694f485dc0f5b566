"""Parallel text: two columns of a tab-separated file, or two files of lines."""

import os
from collections.abc import Callable, Iterable, Sequence

from seq2lite.export.runtime.checks import quote

from .text_files import DataError, read_lines

PART = "held-out part of "  # begins the `origin` of pairs that were held out of a file


class Pairs(list):
    """A list of (source, target) text pairs that records where each pair was read.

    Args:
        pairs: The (source, target) pairs.
        lines: Line number of each pair, from 1. Where a line number is not enough, as with several
            files or JSON, a str that names file and place. Default: 1, 2, 3, …
        origin: Name of the file.
        dropped: Number of lines that were dropped, by reason.
        groups: A text for each pair: pairs of one group are held out together. Default: pairs with
            the same source are.

    Example:
        >>> from seq2lite.recipes.data.pairs import Pairs
        >>> kept = Pairs([("a", "b"), ("a", "")]).filter(lambda source, target: target, "no target")
        >>> kept, kept.lines, kept.dropped
        ([('a', 'b')], [1], {'no target': 1})
    """

    def __init__(
        self,
        pairs: Iterable[tuple[str, str]],
        lines: list[int | str] | None = None,
        origin: str = "the data",
        dropped: dict[str, int] | None = None,
        groups: list[str] | None = None,
    ):
        super().__init__(pairs)
        self.lines = [*range(1, len(self) + 1)] if lines is None else lines
        self.origin = origin
        self.dropped = {reason: count for reason, count in (dropped or {}).items() if count}
        self.groups = groups

    def filter(self, keep: Callable[[str, str], object], reason: str) -> "Pairs":
        """Keep the pairs for which `keep(source, target)` is true; count the others as dropped."""
        return self.select([i for i, pair in enumerate(self) if keep(*pair)], reason)

    def select(self, indices: Sequence[int], reason: str) -> "Pairs":
        """Keep the pairs at `indices`; count the others as dropped for `reason`."""
        num_dropped = self.dropped.get(reason, 0) + len(self) - len(indices)
        return self.subset(indices, self.origin, {**self.dropped, reason: num_dropped})

    def subset(
        self, indices: Sequence[int], origin: str, dropped: dict[str, int] | None = None
    ) -> "Pairs":
        """Return the pairs at `indices`, with an origin and drop counts of their own."""
        pairs = [self[i] for i in indices]
        lines = [self.lines[i] for i in indices]
        groups = [self.groups[i] for i in indices] if self.groups else None
        return Pairs(pairs, lines, origin, dropped, groups)


def read_pairs(path: str | os.PathLike, target_path: str | os.PathLike | None = None) -> Pairs:
    """Read (source, target) pairs from UTF-8 text, in Unicode form NFC.

    Of a tab-separated file the first two columns are read; further columns are ignored. Spaces
    at the ends of both texts are stripped. Pairs with an empty side are dropped and counted.

    Args:
        path: A tab-separated file of both sides, or a file of sources, one a line. A file is
            decompressed if its name ends in .gz.
        target_path: The file of targets, line by line, if `path` contains sources only.

    Returns:
        The `Pairs`.

    Raises:
        DataError: A file is missing, empty or not UTF-8; a line has one column or contains a NUL;
            or the two files have different numbers of lines. The message names the line.

    Example:
        >>> from seq2lite.recipes.data.pairs import read_pairs
        >>> from seq2lite.recipes.data.samples import VSCODE_VALID
        >>> read_pairs(VSCODE_VALID)[0][0]
        'Disable the code action menu.'
    """
    rows = _read_columns(path) if target_path is None else _read_both(path, target_path)
    pairs, lines, num_empty = [], [], 0
    for number, columns in rows:
        pair = tuple(column.strip() for column in columns)
        if all(pair):
            pairs.append(pair)
            lines.append(number)
        else:
            num_empty += 1
    if not pairs:
        raise DataError(
            f"{path} must contain pairs of source and target. "
            f"Received: {num_empty} lines with an empty side"
        )
    return Pairs(pairs, lines, str(path), {"empty side": num_empty})


def _read_columns(path):
    """Yield the line number and the two columns of each line of a tab-separated file."""
    for line in read_lines(path):
        columns = line.text.split("\t")
        if len(columns) > 1:
            yield line.number, columns[:2]
        elif line.text.strip():
            raise DataError(
                f"{line.place} must be a source and a target separated by a tab. "
                f"Received: one column, {quote(columns[0])}"
            )


def _read_both(path, target_path):
    """Yield the line number and the texts of each line of two parallel files."""
    sources, targets = ([line.text for line in read_lines(file)] for file in (path, target_path))
    if len(sources) != len(targets):
        line = min(len(sources), len(targets)) + 1
        raise DataError(
            f"{path} and {target_path} must have the same number of lines: line {line} has no "
            f"counterpart. Received: {len(sources):,} and {len(targets):,} lines"
        )
    return enumerate(zip(sources, targets, strict=True), start=1)
