"""Checkpoints: the complete state of a training in one file, from which it resumes exactly."""

import collections
import io
import json
import math
import os
import shutil
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from seq2lite.export.system.atomic import write_atomically

from ..distributed import processes
from ..distributed.backend import IS_JAX
from .history import History

FOLDER = "checkpoints"  # in a run folder
FILES = f"checkpoint-{'[0-9]' * 6}.npz"


class Checkpoints:
    """The checkpoints of a run, in a folder.

    A checkpoint is an `.npz` file with every variable of the model (states of random numbers
    included) and of the optimizer (its step and averages included), keyed by the variable's path,
    and the training history. It is written atomically, and its checksums reveal corruption.

    Args:
        folder: Folder of the checkpoints.
        model: A compiled Keras model.
        average: Number of checkpoints whose weights are averaged. One more is kept. Default: 1.

    Raises:
        ValueError: Two weights of the model have the same path.

    Example:
        >>> from seq2lite.recipes.training.checkpoints import Checkpoints
        >>> model.compile("adam", "mse")
        >>> checkpoints = Checkpoints(folder / "checkpoints", model)
        >>> checkpoints.save(1, {"loss": 2.0})
        >>> checkpoints.restore()
        {'loss': 2.0}
    """

    def __init__(self, folder: str | os.PathLike, model: keras.Model, average: int = 1):
        self.folder = Path(folder)
        self.model = model
        self.average = average
        self.keep = average + 1
        _require_unique_paths(model)
        model.optimizer.build(model.trainable_variables)
        # In float16 Keras wraps the optimizer to scale the loss.
        self._optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)

    def save(self, number: int, metadata: Any, also_keep: Iterable[int] = ()) -> None:
        """Write a checkpoint, then remove all but the latest `keep` ones.

        Args:
            number: Number of the checkpoint, from 1.
            metadata: Data to save with it, such as the history; serializable as JSON.
            also_keep: Numbers of older checkpoints to keep. Default: none.

        Raises:
            OSError: The file cannot be written, for example because the disk is full. Earlier
                checkpoints remain.
        """
        variables = self._variables()
        arrays = {name: keras.ops.convert_to_numpy(v) for name, v in variables.items()}
        if self._optimizer.use_ema:
            arrays |= dict(zip(self._names("average"), self.weights(), strict=True))
        arrays["metadata"] = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
        try:
            write_atomically(self._path(number), lambda partial: _write(partial, arrays))
        except OSError as error:
            size = sum(array.nbytes for array in arrays.values())
            raise OSError(
                f"A checkpoint of {size / 1e6:.0f} MB must be written to {self.folder}. Received: "
                f"{error}. The same command resumes from the previous checkpoint"
            ) from error
        for old in set(self._numbers()[: -self.keep]) - set(also_keep):
            self._path(old).unlink()

    def require_space(self, num_checkpoints: int) -> None:
        """Raise OSError if the disk has no space for the checkpoints that exist at the same time.

        These are the latest ones, as many for each of two best ones, and the one being written.

        Args:
            num_checkpoints: Number of checkpoints that the training writes in all.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        variables = list(self._variables().values())
        variables += self.model.weights if self._optimizer.use_ema else []
        size = sum(4 * math.prod(variable.shape) for variable in variables)
        existing = sum(path.stat().st_size for path in self.folder.glob(FILES))
        count = min(self.keep + 2 * (self.keep - 1) + 1, num_checkpoints)
        required = count * size - existing
        free = shutil.disk_usage(self.folder).free
        if free < required:
            raise OSError(
                f"{self.folder} must have {required / 1e6:.0f} MB of free space for checkpoints. "
                f"Received: {free / 1e6:.0f} MB"
            )

    def restore(self) -> Any:
        """Set the model and the optimizer to the latest intact checkpoint.

        Returns:
            The metadata that was saved with it; None without a checkpoint.

        Raises:
            ValueError: The checkpoint has other variables than this model and optimizer.
        """
        metadata, arrays = self._latest() if processes.is_first() else (None, {})
        metadata = processes.from_first(lambda: metadata)
        if metadata is not None:
            variables = self._variables()
            empty = {name: np.zeros(v.shape, v.dtype) for name, v in variables.items()}
            arrays = processes.broadcast(arrays or empty)
            for name, variable in variables.items():
                variable.assign(arrays[name])
        return metadata

    def weights(self) -> list[np.ndarray]:
        """Return the weights as they would be exported: averaged by the optimizer, if it does."""
        optimizer, variables = self._optimizer, self.model.trainable_variables
        if not optimizer.use_ema:
            return self.model.get_weights()
        # JAX's arrays are immutable, and assigning others requires all processes.
        raw = [v.value if IS_JAX else keras.ops.convert_to_numpy(v) for v in variables]
        optimizer.finalize_variable_values(variables)
        averages = self.model.get_weights()
        for variable, value in zip(variables, raw, strict=True):
            variable.assign(value)
        return averages

    def averaged(self, number: int) -> range:
        """Return the numbers of the checkpoints that are averaged, up to checkpoint `number`."""
        return range(max(1, number - self.average + 1), number + 1)

    def best_weights(self, history: History) -> list[np.ndarray]:
        """Return the weights up to the best evaluation, averaged, in every process.

        The latest checkpoint is intact: the training has just written it or resumed from it.

        Args:
            history: The `History`. Evaluations whose checkpoints are lost are marked in it.
        """
        weights = None
        if processes.is_first():
            while weights is None:
                weights, lost = self.averaged_weights(history.best())
                history.mark_lost(lost)
        history.load_state(processes.from_first(history.state))
        empty = [np.zeros(w.shape, w.dtype) for w in self.model.weights]
        return [np.array(weight) for weight in processes.broadcast(weights or empty)]

    def averaged_weights(
        self, number: int, current: int | None = None
    ) -> tuple[list[np.ndarray] | None, list[int]]:
        """Average the weights of the last checkpoints, up to checkpoint `number`.

        Args:
            number: Number of the last checkpoint. Checkpoints that are lost are not averaged.
            current: Number of the checkpoint that is not written yet: the weights of the model.
                Default: None, all are read from files.

        Returns:
            A list of float32 arrays, like `model.get_weights()`, or None if checkpoint `number`
            itself is corrupted or missing; and the list of numbers that are.
        """
        found = {
            n: self.weights() if n == current else self._weights_of(n)
            for n in self.averaged(number)
        }
        lost = [n for n, weights in found.items() if weights is None]
        if number in lost:
            return None, lost
        intact = [weights for weights in found.values() if weights is not None]
        mean = [
            np.mean(arrays, axis=0, dtype=np.float64).astype(arrays[0].dtype)
            for arrays in zip(*intact, strict=True)
        ]
        return mean, lost

    def _latest(self):
        """Return metadata and arrays of the latest intact checkpoint."""
        for number in reversed(self._numbers()):
            path = self._path(number)
            arrays = self._read(number)
            if arrays is not None:
                metadata = json.loads(arrays.pop("metadata").tobytes())
                return metadata, self._checked(arrays, path)
            print(f"warning: {path} is corrupted; the previous one is used", file=sys.stderr)
            path.unlink()  # so that it is trained and written again
        return None, {}

    def _weights_of(self, number):
        """Return the weights in a checkpoint as they would be exported; None if it is lost."""
        try:
            arrays, problem = self._read(number), "corrupted"
        except FileNotFoundError:
            arrays, problem = None, "missing"
        if arrays is None:
            print(f"warning: {self._path(number)} is {problem} and ignored", file=sys.stderr)
            return None
        kind = "average" if self._optimizer.use_ema else "model"
        return [arrays[name] for name in self._names(kind)]

    def _names(self, kind):
        """Return a name in the checkpoint for each weight of the model."""
        return [f"{kind}/{weight.path}" for weight in self.model.weights]

    def _variables(self):
        """Return all variables of model and optimizer by their names in the checkpoint."""
        names, variables = self._names("model"), [*self.model.weights]
        weights = {id(weight) for weight in variables}
        # Keras names states of random numbers by the order of creation in the process.
        for path, variable in _owned_variables(self.model):
            if id(variable) not in weights:
                names.append(f"random/{path}")
                variables.append(variable)
        for variable in self.model.optimizer.variables:
            # Without the optimizer's own name, which Keras numbers too.
            names.append(f"optimizer/{variable.path.partition('/')[2]}")
            variables.append(variable)
        return dict(zip(_unique(names), variables, strict=True))

    def _checked(self, arrays, path):
        """Return the arrays of model and optimizer; raise ValueError if they are of another model."""
        arrays = {name: a for name, a in arrays.items() if not name.startswith("average/")}
        found = {name: a.shape for name, a in arrays.items()}
        expected = {name: tuple(v.shape) for name, v in self._variables().items()}
        if found == expected:
            return arrays
        different = [
            f"{name} {found.get(name, 'missing')} (model: {expected.get(name, 'missing')})"
            for name in sorted({*found, *expected})
            if found.get(name) != expected.get(name)
        ]
        more = f" and {len(different) - 5} more" if len(different) > 5 else ""
        raise ValueError(
            f"{path} must contain the variables of this model and optimizer. Received other names "
            f"or shapes: {', '.join(different[:5])}{more}. Resume with the model that wrote it"
        )

    def _path(self, number):
        return self.folder / f"checkpoint-{number:06}.npz"  # matches FILES

    def _numbers(self):
        return sorted(int(path.stem.rpartition("-")[2]) for path in self.folder.glob(FILES))

    def _read(self, number):
        """Return the arrays of a checkpoint by name; None if it is corrupted.

        A file that cannot be read (permissions, a failing disk, no memory) may be intact: then the
        error is raised.
        """
        content = io.BytesIO(self._path(number).read_bytes())
        try:
            with zipfile.ZipFile(content) as file:
                is_intact = file.testzip() is None
        except Exception:  # zipfile raises more on damage than it documents
            is_intact = False
        if not is_intact:
            return None
        content.seek(0)
        with np.load(content) as arrays:
            read = dict(arrays)
        return read if "metadata" in read else None


def _write(path, arrays):
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _require_unique_paths(model):
    """Raise ValueError unless each weight has a path of its own, by which it is restored."""
    counts = collections.Counter(weight.path for weight in model.weights)
    shared = [path for path, count in counts.items() if count > 1]
    if shared:
        raise ValueError(
            "`model` must have weights of different paths, by which checkpoints restore them. "
            f"Received: several weights with the path {', '.join(shared)}. Give each layer a "
            "`name` of its own"
        )


def _unique(names):
    """Return the names in order, a number added to each that occurred before."""
    counts = collections.Counter()
    unique = []
    for name in names:
        counts[name] += 1
        unique.append(name if counts[name] == 1 else f"{name}#{counts[name]}")
    return unique


def _owned_variables(layer, path=""):
    """Yield (path of names of layers, variable) of a layer and of all layers in it, each once."""
    seen = set()
    for child in layer._flatten_layers(recursive=False, include_self=False):
        for name, variable in _owned_variables(child, f"{path}{child.name}/"):
            if id(variable) not in seen:
                seen.add(id(variable))
                yield name, variable
    for variable in layer.variables:
        if id(variable) not in seen:
            yield f"{path}{variable.name}", variable
