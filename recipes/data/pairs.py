"""Parallel text: two columns of a table, or two files of lines."""

import os
from collections.abc import Callable, Iterable, Sequence

from seq2lite.export.runtime.unicode import clean

from .tables import READERS, format_of, read_columns
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
        notes: What the user should know about the file, such as an ignored header.

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
        notes: Iterable[str] = (),
    ):
        super().__init__(pairs)
        self.lines = [*range(1, len(self) + 1)] if lines is None else lines
        self.origin = origin
        self.dropped = {reason: count for reason, count in (dropped or {}).items() if count}
        self.groups = groups
        self.notes = [*notes]

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
        notes = self.notes if origin == self.origin else ()
        return Pairs(pairs, lines, origin, dropped, groups, notes)


def read_pairs(
    path: str | os.PathLike,
    target_path: str | os.PathLike | None = None,
    *,
    columns: Sequence[str] = (),
) -> Pairs:
    """Read (source, target) pairs from a table, or from two files of lines.

    Texts are cleaned: white space and byte order marks are stripped from both ends, and the rest is
    in Unicode form NFC. Pairs with an empty side are dropped and counted.

    Args:
        path: A file of both sides, whose name states its format (see `read_columns`): tab-separated
            text, CSV, JSON, JSON Lines, Parquet, or a folder that `datasets` saved. Or a file of
            sources, one a line.
        target_path: The file of targets, line by line, if `path` contains sources only.
        columns: Names or numbers of the source and the target column. See `read_columns`.

    Returns:
        The `Pairs`. Their attribute `notes` names an ignored header and ignored columns.

    Raises:
        DataError: A file is missing, empty or not UTF-8; a line has one column or contains a NUL;
            the columns cannot be told apart; or the two files have different numbers of lines. The
            message names the line.

    Example:
        >>> from seq2lite.recipes.data.pairs import read_pairs
        >>> from seq2lite.recipes.data.samples import VSCODE_VALID
        >>> read_pairs(VSCODE_VALID)[0][0]
        'Disable the code action menu.'
    """
    if target_path is None:
        rows, notes = read_columns(path, columns)
        numbered = [(row.number, row.cells) for row in rows]
    else:
        numbered, notes = _read_both(path, target_path), []
    kept = [(number, tuple(pair)) for number, pair in numbered if all(pair)]
    num_empty = len(numbered) - len(kept)
    if not kept:
        raise DataError(
            f"{path} must contain pairs of source and target. "
            f"Received: {num_empty} lines with an empty side"
        )
    lines: list[int | str] = [number for number, _ in kept]
    dropped = {"empty side": num_empty}
    return Pairs([pair for _, pair in kept], lines, str(path), dropped, notes=notes)


def _read_both(path, target_path):
    """Return the line number and the texts of each line of two parallel files."""
    for file in (path, target_path):
        if format_of(file) in READERS:
            raise DataError(
                f"{path} and {target_path} must be a file of sources and a file of targets, with a "
                f"text in each line. Received: {file}, which is a table. Give one file of pairs; "
                "several are joined first"
            )
    sources, targets = ([clean(line.text) for line in read_lines(f)] for f in (path, target_path))
    if len(sources) != len(targets):
        line = min(len(sources), len(targets)) + 1
        raise DataError(
            f"{path} and {target_path} must have the same number of lines: line {line} has no "
            f"counterpart. Received: {len(sources):,} and {len(targets):,} lines"
        )
    return [*enumerate(zip(sources, targets, strict=True), start=1)]
