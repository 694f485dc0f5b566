"""Tables in Arrow's formats: Parquet files, and folders that Hugging Face `datasets` saved."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

from .text_files import DataError

STATE = "state.json"  # of a saved data set
SPLITS = "dataset_dict.json"  # of a folder of saved data sets


def read_parquet(path: Path) -> Iterator[dict]:
    """Yield the rows of a Parquet file.

    Raises:
        DataError: pyarrow is not installed, or the file is missing or corrupted.

    Example:
        >>> import pyarrow.parquet
        >>> from seq2lite.recipes.data.arrow_files import read_parquet
        >>> table = pyarrow.Table.from_pylist([{"en": "Open", "ko": "열기"}])
        >>> pyarrow.parquet.write_table(table, folder / "my.parquet")
        >>> list(read_parquet(folder / "my.parquet"))
        [{'en': 'Open', 'ko': '열기'}]
    """
    arrow = _import(path, "pyarrow")
    parquet = _import(path, "pyarrow.parquet")
    if not path.is_file():
        raise DataError(f"The data file must exist. Received: {path}")
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path} must be a readable Parquet file. Received: {error}") from error


def read_dataset(path: Path) -> Iterator[dict]:
    """Yield the rows of a data set that `datasets.Dataset.save_to_disk` wrote.

    Raises:
        DataError: pyarrow is not installed, the folder has several splits, or a file is missing or
            corrupted.

    Example:
        >>> import pyarrow
        >>> from seq2lite.recipes.data.arrow_files import read_dataset
        >>> table = pyarrow.Table.from_pylist([{"en": "Open", "ko": "열기"}])
        >>> with pyarrow.ipc.new_stream(folder / "data.arrow", table.schema) as writer:
        ...     writer.write_table(table)
        >>> state = '{"_data_files": [{"filename": "data.arrow"}]}'
        >>> _ = (folder / "state.json").write_text(state)
        >>> list(read_dataset(folder))
        [{'en': 'Open', 'ko': '열기'}]
    """
    if (path / SPLITS).is_file():
        splits = sorted(p.name for p in path.iterdir() if (p / STATE).is_file())
        raise DataError(
            f"{path} must be one split of the data set. Received: a folder of the splits "
            f"{', '.join(splits)}. Try {path / splits[0] if splits else 'another folder'}"
        )
    arrow = _import(path, "pyarrow")
    try:
        state = json.loads((path / STATE).read_text("utf-8"))
        if state.get("_indices_data_files"):
            raise DataError(
                f"{path} must contain its rows in order. Received: rows with indices, from an old "
                "release of `datasets`. Call flatten_indices(), and save it again"
            )
        for file in state["_data_files"]:
            with arrow.OSFile(str(path / file["filename"])) as content:
                for batch in arrow.ipc.open_stream(content):
                    yield from batch.to_pylist()
    except DataError:
        raise
    except (arrow.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} must be a readable data set. Received: {error}") from error


def _import(path, module):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"pyarrow must be installed to read {path}: pip install 'seq2lite[parquet]'. Received: {error}"
        ) from error
