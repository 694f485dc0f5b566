"""Columns of text from tables: tab-separated text, CSV, JSON, JSON Lines, Parquet, saved data sets."""

import csv
import io
import json
import os
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from seq2lite.export.runtime.checks import quote
from seq2lite.export.runtime.unicode import clean

from .arrow_files import SPLITS, STATE, read_dataset, read_parquet
from .column_names import choose_columns, is_header
from .text_files import DataError, read_lines, read_text

NUM_SAMPLED = 20  # records by which the delimiter of a CSV file is found


class Row(typing.NamedTuple):
    """One row of a table.

    Attributes:
        number: Number of its first line, or of the row if the file has no lines; from 1.
        place: File and number, for error messages.
        cells: A list of texts, or a dict from names to values.
    """

    number: int
    place: str
    cells: list[str] | dict


class Columns(typing.NamedTuple):
    """The columns of a table that a recipe reads.

    Attributes:
        rows: `Row`s whose cells are the texts of the columns, cleaned.
        notes: What the user should know: an ignored header, ignored columns.
    """

    rows: list[Row]
    notes: list[str]


def read_columns(path: str | os.PathLike, columns: Sequence[str] = (), count: int = 2) -> Columns:
    """Read columns of text from a file whose name states the format.

    | name | contents |
    |---|---|
    | `.csv` | comma-separated values (RFC 4180), or separated by semicolons or tabs |
    | `.jsonl`, `.ndjson` | a JSON object in each line |
    | `.json` | a list of JSON objects, or an object in each line |
    | `.parquet` | Parquet, read with pyarrow |
    | a folder | a data set that `datasets.Dataset.save_to_disk` wrote, read with pyarrow |
    | any other | lines of tab-separated text, without quoting |

    Text files may be compressed, with `.gz` after the name. Blank lines are ignored.

    Args:
        path: The file or folder.
        columns: Names of the columns, which must be in the first row or among the keys; or numbers
            from 1, for text without a header. Default: the first `count` columns of tab-separated
            text; otherwise the only `count` columns, or those with usual names, such as `source`
            and `target`, or `en` and `ko`. A first row of usual names is a header.
        count: Number of columns. Default: 2.

    Raises:
        DataError: The file cannot be read, its columns cannot be told apart, or a row lacks one of
            them. The message names the line.

    Example:
        >>> from seq2lite.recipes.data.tables import read_columns
        >>> _ = (folder / "my.csv").write_text('id,en,ko\\n1,"Yes, open","예, 열기"\\n', "utf-8")
        >>> rows, notes = read_columns(folder / "my.csv", ["en", "ko"])
        >>> rows[0].number, rows[0].cells
        (2, ['Yes, open', '예, 열기'])
    """
    if columns and len(columns) != count:
        raise DataError(
            f"`columns` must be {count} name{'s' * (count > 1)} or numbers. "
            f"Received: {' '.join(columns)}"
        )
    rows = READERS.get(format_of(path), _read_tabs)(path)
    if (first := next(rows, None)) is None:
        raise DataError(f"{path} must contain text. Received: no rows")
    select = _by_name if isinstance(first.cells, dict) else _by_position
    return select(path, first, rows, columns, count)


def format_of(path: str | os.PathLike) -> str:
    """Return the format of a file by its name: a key of READERS, or another suffix.

    Example:
        >>> from seq2lite.recipes.data.tables import format_of
        >>> format_of("my.CSV.gz"), format_of("my.en")
        ('.csv', '.en')
    """
    path = Path(path)
    if (path / STATE).is_file() or (path / SPLITS).is_file():
        return "folder"
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _by_position(path, first, rows, columns, count):
    """Select columns of rows that are lists; their first row may be a header."""
    is_csv = format_of(path) == ".csv"
    names = [clean(cell) for cell in first.cells]
    has_header, notes = is_header(names, count if is_csv else 2), []
    if columns and all(name.isdecimal() for name in columns) and not {*columns} <= {*names}:
        if has_header:
            notes.append(
                f"line {first.number} is read as text, because --columns are numbers, but seems to "
                f"be a header: {', '.join(names)}"
            )
        positions, has_header = [int(name) - 1 for name in columns], False
        if min(positions) < 0:
            raise DataError(f"`columns` must be numbers from 1. Received: {' '.join(columns)}")
    elif columns or (has_header and (is_csv or count > 1)):
        chosen = choose_columns(names, columns, count, path)
        positions, has_header = [names.index(name) for name in chosen], True
    elif is_csv and len(names) > count:
        raise DataError(
            f"`columns` must name the columns of {path} to read, or number them from 1. Received: "
            f"none, and a first row of {len(names)} columns: {quote(', '.join(names))}"
        )
    else:
        positions = list(range(count))
    if has_header:
        ignored = [name for i, name in enumerate(names) if name and i not in positions]
        notes.append(
            f"line {first.number} is a header; columns {', '.join(names[i] for i in positions)}"
            + (f"; ignored: {', '.join(ignored)}" if ignored else "")
        )
    elif len(names) > count:
        used = " and ".join(str(i + 1) for i in positions)
        notes.append(f"column{'s' * (count > 1)} {used} of {len(names)}")
    needed, found = max(positions) + 1, []
    for row in rows if has_header else _chain(first, rows):
        if len(row.cells) < needed:
            raise DataError(_too_few_columns(row, needed, is_csv))
        if is_csv and any(row.cells[len(names) :]):
            raise DataError(
                f"{row.place} must have {len(names)} columns, as the first row has. Received: "
                f"{len(row.cells)}. A cell with a comma stands in quotation marks"
            )
        found.append(row._replace(cells=[clean(row.cells[i]) for i in positions]))
    if not is_csv and (quoted := [row for row in found if any(map(_is_quoted, row.cells))]):
        notes.append(
            f"{len(quoted):,} lines have cells in quotation marks, which are read as part of the text, "
            f"for example line {quoted[0].number}; if a spreadsheet has added them, save it as CSV"
        )
    return Columns(found, notes)


def _by_name(path, first, rows, columns, count):
    """Select columns of rows that are dicts."""
    names = list(_flat(first.cells))
    if not columns and len(names) > count:  # columns of numbers and lists are no candidates
        names = [name for name, value in _flat(first.cells).items() if isinstance(value, str)]
    chosen = choose_columns(names, columns, count, path)
    ignored = [name for name in _flat(first.cells) if name not in chosen]
    notes = [f"columns {', '.join(chosen)}; ignored: {', '.join(ignored)}"] if ignored else []
    found = []
    for row in _chain(first, rows):
        cells = _flat(row.cells)
        if missing := [name for name in chosen if name not in cells]:
            raise DataError(
                f"{row.place}: the key {quote(missing[0])} must exist. Received: "
                f"{', '.join(map(str, cells)) or 'no keys'}"
            )
        found.append(row._replace(cells=[_text(cells[n], f"{row.place}: {n!r}") for n in chosen]))
    return Columns(found, notes)


def _chain(first, rows):
    yield first
    yield from rows


def _flat(cells):
    """Return the cells of a row, with the translations of Hugging Face's format as columns."""
    inner = cells.get("translation")
    return {**cells, **inner} if isinstance(inner, dict) else cells


def _text(value, place):
    """Return a value as cleaned text; null is empty."""
    if not isinstance(value, str | None):
        raise DataError(f"{place} must be text. Received: {quote(value)}")
    # A JSON escape can name half of a surrogate pair, which is no character.
    if value and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
        raise DataError(
            f"{place} must not contain a NUL or half a surrogate pair. Received: {quote(value)}"
        )
    return clean(value or "")


def _is_quoted(cell):
    """Return whether a cell has the quotation marks of a spreadsheet: around it, doubled inside."""
    inner = cell[1:-1]
    has_doubled = '""' in inner and '"' not in inner.replace('""', "")
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and has_doubled


def _too_few_columns(row, needed, is_csv):
    """Explain a row with too few columns."""
    text = f"Received: {len(row.cells)}, {quote(row.cells[0])}"
    if is_csv or needed > 2:
        return f"{row.place} must have {needed} columns. {text}"
    return (
        f"{row.place} must be a source and a target separated by a tab. Received: one column, "
        f"{quote(row.cells[0])}. The name of a file with commas ends in .csv; sources and targets in "
        "files of their own are given as two files"
    )


def _read_tabs(path):
    """Yield the rows of tab-separated text."""
    for line in read_lines(path):
        if "\t" in line.text or clean(line.text):
            yield Row(line.number, line.place, line.text.split("\t"))


def _read_csv(path):
    """Yield the rows of a CSV file."""
    text = read_text(path)
    offset = 1
    if text.lower().startswith("sep=") and len(first := text.split("\n", 1)[0].rstrip("\r")) == 5:
        delimiter, text, offset = first[4], text.partition("\n")[2], 2  # Excel's
    else:
        delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + offset
        place = f"{path}, line {number}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{place} must be CSV: a cell with a comma, a quotation mark or a line end stands in "
                f'"…", and a quotation mark in it is doubled. Received: {error}'
            ) from error
        if any(map(clean, cells)):
            yield Row(number, place, cells)


def _delimiter(text):
    """Return the delimiter of CSV text: the first that cuts its first records alike."""
    for delimiter in ",;\t":
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        try:
            records = [cells for _, cells in zip(range(NUM_SAMPLED), reader, strict=False)]
        except csv.Error:
            continue
        counts = {len(cells) for cells in records if any(map(clean, cells))}
        if len(counts) == 1 and counts != {1}:
            return delimiter
    return ","


def _read_json_lines(path):
    """Yield the rows of a file with a JSON object in each line."""
    for line in read_lines(path):
        if clean(line.text):
            try:
                value = json.loads(line.text)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{line.place} must be JSON. Received: {error}") from error
            yield Row(line.number, line.place, _object(value, line.place))


def _read_json(path):
    """Yield the rows of a JSON file: a list of objects, alone or as `data` in an object."""
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if getattr(error, "msg", "") == "Extra data":  # JSON Lines
            yield from _read_json_lines(path)
            return
        raise DataError(f"{path} must be JSON. Received: {error}") from error
    if isinstance(value, dict):
        value = value["data"] if isinstance(value.get("data"), list) else [value]
    if not isinstance(value, list):
        raise DataError(f"{path} must be a list of JSON objects. Received: {quote(value)}")
    for number, row in enumerate(value, start=1):
        place = f"{path}, row {number}"
        yield Row(number, place, _object(row, place))


def _object(value, place):
    if not isinstance(value, dict):
        raise DataError(f"{place} must be a JSON object. Received: {quote(value)}")
    return value


def _rows_of(read: Callable[[Path], Iterator[dict]]):
    """Return a reader of the dicts of an Arrow file."""

    def read_rows(path):
        for number, cells in enumerate(read(Path(path)), start=1):
            yield Row(number, f"{path}, row {number}", cells)

    return read_rows


# Readers by the suffix of a file's name; files with another suffix are tab-separated text.
READERS: dict[str, Callable[[str | os.PathLike], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": _rows_of(read_parquet),
    "folder": _rows_of(read_dataset),
}
