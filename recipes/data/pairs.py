"""Parallel text: two columns of a tab-separated file, or two files of lines; plain or gzip."""

import unicodedata

from .text_files import DataError, _lines

PART = "a part of "  # how the origin of what is held out begins


class Pairs(list):
    """A list of (source, target) text that knows where each came from.

    Attributes:
        origin: Name of the file.
        lines: Line number of each pair, from 1; where that is not enough, such as of several files or of JSON, a
            str that says the place, and the file.
        groups: Text of each pair; pairs of one group are held out together. None: their sources are.
        dropped: dict, why lines were left out to how many; empty if none were.
    """

    def __init__(self, pairs, lines=None, origin="the data", dropped=None, groups=None):
        super().__init__(pairs)
        self.lines = list(range(1, len(self) + 1)) if lines is None else lines
        self.groups = groups
        self.origin = origin
        self.dropped = {why: n for why, n in (dropped or {}).items() if n}

    def where(self, keeps, why):
        """The pairs that `keeps(source, target)` says yes to; the others are counted as `why`."""
        return self.only([i for i, pair in enumerate(self) if keeps(*pair)], why)

    def only(self, numbers, why):
        """The pairs of these numbers, from 0; the others are counted as `why`."""
        dropped = {**self.dropped, why: self.dropped.get(why, 0) + len(self) - len(numbers)}
        return self.part(numbers, self.origin, dropped)

    def part(self, numbers, origin, dropped=None):
        """The pairs of these numbers, from 0, as `Pairs` of their own."""
        lists = [self, self.lines, self.groups]
        pairs, lines, groups = ([each[i] for i in numbers] if each else each for each in lists)
        return Pairs(pairs, lines, origin, dropped, groups)


def read_pairs(path, target_path=None):
    """Reads (source, target) pairs, in NFC, from UTF-8 text.

    The first two columns of a tab-separated file count; further ones (an origin, say) are passed
    over. Pairs of which a side is empty are left out, and counted in `dropped`.

    Args:
        path: A tab-separated file of both, or a file of sources, one a line; gzip if its name ends
            in .gz.
        target_path: With a file of sources, that of their targets, line by line.

    Returns:
        A `Pairs`, both sides stripped of spaces at their ends.

    Raises:
        DataError: A file is missing, empty, or not UTF-8; a line has one column or a NUL; or there
            are not as many targets as sources. The message names the line.

    Example:
        >>> from seq2lite.recipes.data.pairs import read_pairs
        >>> from seq2lite.recipes.data.samples import VSCODE_VALID
        >>> read_pairs(VSCODE_VALID)[0][0]
        'Disable the code action menu.'
    """
    if target_path is None:
        lines = (line for line in _lines(path) if line[1].strip() or "\t" in line[1])
        rows = ((n, _columns(text, where)) for n, text, where in lines)
    else:
        rows = _both(path, target_path)
    pairs, lines, num_empty = [], [], 0
    for number, columns in rows:
        pair = tuple(unicodedata.normalize("NFC", column).strip() for column in columns)
        if all(pair):
            pairs.append(pair)
            lines.append(number)
        else:
            num_empty += 1
    if not pairs:
        raise DataError(f"{path} must hold a pair a line. Received: {num_empty} with an empty side")
    return Pairs(pairs, lines, str(path), {"an empty side": num_empty})


def _columns(text, where):
    columns = text.split("\t")
    if len(columns) < 2:
        raise DataError(
            f"{where}: must be a source and a target with a tab between them. "
            f"Received: one column, {columns[0]!r:.60}"
        )
    return columns[:2]


def _both(path, target_path):
    sources, targets = ([text for _, text, _ in _lines(file)] for file in (path, target_path))
    if len(sources) != len(targets):
        line = min(len(sources), len(targets)) + 1
        raise DataError(
            f"{path} and {target_path} must have as many lines as each other: line {line} has no "
            f"counterpart. Received: {len(sources)} and {len(targets)} lines"
        )
    return enumerate(zip(sources, targets, strict=True), start=1)
