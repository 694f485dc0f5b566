"""A run and its record: its options and data, written in its folder, by which a run is resumed."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Generic, TypeVar

from ..data.samples import shortened
from ..distributed.machine import Machine, this_machine
from ..distributed.precision import choose_precision
from ..options import flatten
from ..training.artifacts import RECORD
from .config import RecipeConfig

ConfigT = TypeVar("ConfigT", bound=RecipeConfig)

DONE = "done"  # file in a run folder: exists if the run is finished

# Options of a command, which are not recorded.
_OF_COMMAND = ("overwrite", "finish")
# Recorded options that do not affect the weights: a run may resume with others.
_FREE = ("quantizations", "measure", "tensorboard", "data_service", "processes")
# Options that are paths, which may differ between the processes of a run.
_PATHS = ("output", "train", "valid", "test", "tokenizer", "teacher", "init_from")
_CONTENT = "content of"  # prefix of the names of data files' checksums


@dataclasses.dataclass(frozen=True)
class Run(Generic[ConfigT]):
    """A run, and what its folder contained when the run was described.

    Attributes:
        config: The recipe's Config, with automatic options resolved for this machine.
        record: Options by name, with a checksum of each file that the run reads.
        earlier: Record in the folder; empty if it is missing or invalid.
        is_finished: Whether the folder contains a finished run.
    """

    config: ConfigT
    record: dict
    earlier: dict
    is_finished: bool

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.config.run.output)

    @property
    def changes(self) -> list[str]:
        """Names of options that affect the weights and differ from those in the folder."""
        names = sorted({*self.earlier, *self.record} - {*_FREE})
        return [name for name in names if self.earlier.get(name) != self.record.get(name)]

    @property
    def is_resumable(self) -> bool:
        """Whether the folder contains an unfinished run with these options."""
        return not self.is_finished and not self.changes

    @property
    def is_current(self) -> bool:
        """Whether the folder still contains what it did when the run was described."""
        return _found(self.folder) == (self.earlier, self.is_finished)

    @property
    def shared_options(self) -> dict:
        """Values that all processes of the run must share: options without paths, and the data."""
        checksums = [value for name, value in self.record.items() if name.startswith(_CONTENT)]
        names = [
            n for n in self.record if n not in (*_FREE, *_PATHS) and not n.startswith(_CONTENT)
        ]
        return {name: self.record[name] for name in names} | {"content of the data": checksums}


def describe_run(config: ConfigT) -> Run[ConfigT]:
    """Resolve the automatic options of a Config, and compare them with the run in its folder.

    To export a run without training it (`finish`), the values that the run recorded are used: the
    backend that exports may not be the one that trained.

    Args:
        config: The recipe's Config.
    """
    earlier, is_finished = _found(config.run.output)
    training, machine = config.training, this_machine()
    precision = training.precision
    if training.finish and earlier:
        fields = dataclasses.fields(Machine)
        machine = Machine(**{f.name: earlier.get(f.name, f.default) for f in fields})
        precision = earlier.get("precision", precision) if precision == "auto" else precision
    if precision == "auto":
        precision = choose_precision()
    learning_rate = training.learning_rate or config.peak_learning_rate
    training = dataclasses.replace(training, precision=precision, learning_rate=learning_rate)
    config = dataclasses.replace(config, training=training, machine=machine)
    record = {name: v for name, v in flatten(config).items() if name not in _OF_COMMAND}
    record["recipe"] = config.recipe()
    for path in config.inputs:
        record[f"{_CONTENT} {path}"] = _checksum(Path(path))
    record = json.loads(shortened(json.dumps(record)))
    return Run(config, record, earlier, is_finished)


def _checksum(path):
    """Return a checksum of a file, or of the files of a folder."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    checksum = hashlib.sha256()
    for file in files:
        checksum.update(file.read_bytes() if file.is_file() else b"")
    return checksum.hexdigest()


def _found(folder):
    """Return the record in a folder, and whether its run is finished."""
    folder = Path(folder)
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        record = {}
    return record, (folder / DONE).exists()
