"""The record of a run: its options and data, written in its folder, by which a run is resumed."""

import dataclasses
import hashlib
import json
from pathlib import Path

from ..distributed.machine import Machine, this_machine
from ..distributed.precision import choose_precision
from ..options import flatten
from .config import RecipeConfig

RECORD = "seq2lite-run.json"

# Options of a command, which are not recorded.
_OF_COMMAND = ("overwrite", "finish")
# Recorded options that do not affect the weights: a run may resume with others.
_FREE = ("quantizations", "measure", "tensorboard", "data_service", "processes")
# Options that are paths, which may differ between the processes of a run.
_PATHS = ("output", "train", "valid", "test", "teacher")
_CONTENT = "content of"  # prefix of the names of data files' checksums


def resolve(config: RecipeConfig) -> RecipeConfig:
    """Replace automatic options by the values that they stand for on this machine.

    To export a run without training it (`finish`), those that the run recorded are used: the
    backend that exports may not be the one that trained.
    """
    training, machine = config.training, this_machine()
    precision = training.precision
    if training.finish and (record := read_record(config.run.output)):
        fields = dataclasses.fields(Machine)
        machine = Machine(**{f.name: record.get(f.name, f.default) for f in fields})
        precision = record.get("precision", precision) if precision == "auto" else precision
    if precision == "auto":
        precision = choose_precision()
    learning_rate = training.learning_rate or config.model.peak_learning_rate
    training = dataclasses.replace(training, precision=precision, learning_rate=learning_rate)
    return dataclasses.replace(config, training=training, machine=machine)


def make_record(config: RecipeConfig) -> dict:
    """Return the options of a run by name, with a checksum of each file that it reads.

    Args:
        config: The recipe's Config, resolved.
    """
    record = {name: v for name, v in flatten(config).items() if name not in _OF_COMMAND}
    for path in config.inputs:
        content = Path(path).read_bytes() if Path(path).is_file() else b""
        record[f"{_CONTENT} {path}"] = hashlib.sha256(content).hexdigest()
    return json.loads(json.dumps(record))


def read_record(folder: str | Path) -> dict:
    """Return the record in a run folder; empty if it is missing or invalid."""
    try:
        return json.loads((Path(folder) / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def differing(record: dict, other: dict) -> list[str]:
    """Return the names of options that affect the weights and differ between two records."""
    names = sorted({*record, *other} - {*_FREE})
    return [name for name in names if record.get(name) != other.get(name)]


def shared_options(record: dict) -> dict:
    """Return what must be equal in all processes of a run: options without paths, and data."""
    checksums = [value for name, value in record.items() if name.startswith(_CONTENT)]
    names = [n for n in record if n not in (*_FREE, *_PATHS) and not n.startswith(_CONTENT)]
    return {name: record[name] for name in names} | {"content of the data": checksums}
