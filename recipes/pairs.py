"""Parallel text: two columns of a tab-separated file, or two files of lines; plain or gzip."""

import codecs
import gzip
import hashlib
import unicodedata
from pathlib import Path

from .fetch.split import comparable

HELD_OUT = 20  # one source of so many is held out where no held-out pairs are given
MAX_HELD_OUT = 1000
PART = "a part of "  # how the origin of what is held out begins


class DataError(ValueError):
    """A data file cannot be used; the message names the file and the line."""


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
        >>> from seq2lite.recipes.pairs import read_pairs, VSCODE_VALID
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


def is_of_package(paths):
    """Whether the files are the package's own."""
    return all(Path(path).parent == _DATA for path in paths)


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
        >>> from seq2lite.recipes.pairs import Pairs, hold_out
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
        >>> from seq2lite.recipes.pairs import Pairs, for_training
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


def read_lines(path):
    """The lines of a UTF-8 text file, in NFC, without their ends; gzip if its name ends in .gz.

    Args:
        path: The file.

    Returns:
        A list of str, empty lines among them.

    Raises:
        DataError: The file is missing, empty or not UTF-8, or has a NUL; the message names the line.
    """
    return [unicodedata.normalize("NFC", text) for _, text, _ in _lines(path)]


def read_content(path):
    """The bytes of a file, unpacked if its name ends in .gz.

    Raises:
        DataError: There is no such file, or it is no gzip.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"The data file must exist. Received: {path}")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, gzip.zlib.error) as error:
        raise DataError(f"{path} must be readable, and gzip as its name says: {error}") from error
    return content.removeprefix(codecs.BOM_UTF8)


def _lines(path):
    """(number, text, where) of each line."""
    content = read_content(path)
    if not content.strip():
        raise DataError(f"{path} must hold text. Received: an empty file")
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), start=1):
        where = f"{path}, line {number}"
        line = line.removesuffix(b"\r")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{where}: must be UTF-8. Received: {line[:40]!r}") from error
        for character, name in (("\0", "a NUL"), ("\r", "a carriage return")):
            if character in text:
                raise DataError(f"{where}: must not hold {name}. Received: {line[:40]!r}")
        yield number, text, where


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


_DATA = Path(__file__).parent / "data"
VSCODE_TRAIN = _DATA / "vscode.en-ko.MIT.train.tsv.gz"
VSCODE_VALID = _DATA / "vscode.en-ko.MIT.valid.tsv.gz"
G2P_TRAIN = _DATA / "g2p.en.BSD-2.train.tsv.gz"
G2P_VALID = _DATA / "g2p.en.BSD-2.valid.tsv.gz"
DOCSTRINGS_TRAIN = _DATA / "docstrings.en.Apache-2.0.train.tsv.gz"
DOCSTRINGS_VALID = _DATA / "docstrings.en.Apache-2.0.valid.tsv.gz"
