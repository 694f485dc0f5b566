"""All of a training's state in one file, again and again: what a stopped run goes on from."""

import io
import json
import math
import shutil
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np

from seq2lite.export.system.atomic import write_atomically

from ..distributed import processes

FILES = f"round-{'[0-9]' * 6}.npz"


class Checkpoints:
    """The checkpoints of a run, in a folder.

    A checkpoint is an `.npz` with every variable of the model (the states of its random numbers among them)
    and of the optimizer (its step and its averages among them), and the run's history. It
    appears whole or not at all; one that was torn all the same is noticed by its checksums.

    Args:
        folder: Where they are.
        model: A compiled Keras model.
        keep: How many of the last ones stay.

    Example:
        >>> from seq2lite.recipes.training.checkpoints import Checkpoints
        >>> model.compile("adam", "mse")
        >>> checkpoints = Checkpoints(folder / "checkpoints", model)
        >>> checkpoints.save([{"loss": 2.0}])
        >>> checkpoints.restore()
        [{'loss': 2.0}]
    """

    def __init__(self, folder, model, keep=2):
        self.folder = Path(folder)
        self.model = model
        self.keep = keep
        model.optimizer.build(model.trainable_variables)
        # In float16 Keras wraps it, to scale the loss.
        self._optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)

    def save(self, history, also_keep=()):
        """Writes the state after `len(history)` rounds, then removes what is older than `keep`.

        Args:
            history: List of dicts, what was measured in each round.
            also_keep: Numbers of rounds whose checkpoints stay all the same.

        Raises:
            OSError: It could not be written, for want of space, say; the earlier ones are left.
        """
        arrays = {
            name: keras.ops.convert_to_numpy(variable)
            for name, variable in self._variables().items()
        }
        if self._optimizer.use_ema:
            arrays |= {f"average{i:05}": w for i, w in enumerate(self.weights())}
        arrays["history"] = np.frombuffer(json.dumps(history).encode(), np.uint8)
        try:
            write_atomically(self._path(len(history)), lambda partial: _write(partial, arrays))
        except OSError as error:
            size = sum(array.nbytes for array in arrays.values())
            raise OSError(
                f"A checkpoint of {size / 1e6:.0f} MB must be written to {self.folder}, and could not "
                f"be: {error}. The same command goes on from the last one that could"
            ) from error
        for old in set(self._numbers()[: -self.keep]) - set(also_keep):
            self._path(old).unlink()

    def require_space(self, num_rounds):
        """Raises OSError, before work begins, where the disk has no room for all that may lie there.

        Those are the last ones, as many each of two best ones, and the one that is written, of
        `num_rounds` at most; what lies there already takes no more room.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        variables = list(self._variables().values())
        variables += self.model.weights if self._optimizer.use_ema else []
        size = sum(4 * math.prod(variable.shape) for variable in variables)
        there = sum(path.stat().st_size for path in self.folder.glob(FILES))
        count = min(self.keep + 2 * (self.keep - 1) + 1, num_rounds)
        needed = count * size - there
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise OSError(
                f"{self.folder} must have room for {needed / 1e6:.0f} MB of checkpoints. "
                f"Received: {free / 1e6:.0f} MB"
            )

    def restore(self):
        """Sets model and optimizer to the newest whole checkpoint.

        Returns:
            The history that was saved with it; an empty list if there is none.

        Raises:
            ValueError: A whole checkpoint is of another model.
        """
        history, arrays = self._newest() if processes.is_first() else ([], {})
        history = processes.from_first(lambda: history)
        if history:
            variables = self._variables()
            empty = {name: np.zeros(v.shape, v.dtype) for name, v in variables.items()}
            arrays = processes.broadcast(arrays or empty)
            for name, variable in variables.items():
                variable.assign(arrays[name])
        return history

    def _newest(self):
        """History and arrays of the newest whole checkpoint."""
        for number in reversed(self._numbers()):
            arrays = self._read(number)
            if arrays is None:
                print(
                    f"warning: {self._path(number)} is torn; the one before it is used",
                    file=sys.stderr,
                )
                self._path(number).unlink()  # its round is trained again
                continue
            history = json.loads(arrays.pop("history").tobytes())
            return history, self._of_this_model(arrays, self._path(number))
        return [], {}

    def weights(self):
        """The model's weights as they would ship now: the optimizer's averages, if it has any."""
        optimizer, variables = self._optimizer, self.model.trainable_variables
        if not optimizer.use_ema:
            return self.model.get_weights()
        # JAX's arrays do not change, and to assign others takes all processes.
        raw = [v.value if processes.IS_JAX else keras.ops.convert_to_numpy(v) for v in variables]
        optimizer.finalize_variable_values(variables)
        averages = self.model.get_weights()
        for variable, value in zip(variables, raw, strict=True):
            variable.assign(value)
        return averages

    def averaged(self, number, count, now=None):
        """The mean of the weights of `count` rounds that end with round `number`.

        Args:
            number: Of a round.
            count: How many; fewer if there were no more, or if an earlier one is torn or not there.
            now: Number of the round that ends now, which has no checkpoint yet.

        Returns:
            List of float32 arrays, as `model.get_weights()`, or None if round `number` itself is torn
            or not there; and a list, the numbers of the rounds that are.
        """
        numbers = range(max(1, number - count + 1), number + 1)
        rounds = {n: self.weights() if n == now else self._weights_of(n) for n in numbers}
        lost = [n for n, weights in rounds.items() if weights is None]
        if number in lost:
            return None, lost
        there = [weights for weights in rounds.values() if weights is not None]
        mean = [
            np.mean(arrays, axis=0, dtype=np.float64).astype(arrays[0].dtype)
            for arrays in zip(*there, strict=True)
        ]
        return mean, lost

    def _weights_of(self, number):
        try:
            arrays, what = self._read(number), "torn"
        except FileNotFoundError:
            arrays, what = None, "not there"
        if arrays is None:
            print(f"warning: {self._path(number)} is {what}, and left out", file=sys.stderr)
            return None
        prefix = "average" if self._optimizer.use_ema else "model"
        names = {f"{prefix}{i:05}" for i, _ in enumerate(self.model.weights)}
        return [arrays[name] for name in sorted(names)]

    def _variables(self):
        # `weights` first, then what is no weight: the states of random numbers.
        weights = self.model.weights
        known = {id(v) for v in weights}
        others = [v for v in self.model.variables if id(v) not in known]
        variables = {f"model{i:05}": v for i, v in enumerate([*weights, *others])}
        return variables | {
            f"optimizer{i:05}": v for i, v in enumerate(self.model.optimizer.variables)
        }

    def _of_this_model(self, arrays, path):
        """The arrays of model and optimizer, without averages."""
        variables = self._variables()
        found = {n: array.shape for n, array in arrays.items() if not n.startswith("average")}
        expected = {name: tuple(variable.shape) for name, variable in variables.items()}
        if found != expected:
            raise ValueError(f"{path} must hold this model and optimizer. Received: another one's")
        return {name: arrays[name] for name in variables}

    def _path(self, number):
        return self.folder / f"round-{number:06}.npz"  # one of FILES

    def _numbers(self):
        return sorted(int(path.stem.removeprefix("round-")) for path in self.folder.glob(FILES))

    def _read(self, number):
        """The arrays of a checkpoint by name; None if it is torn.

        One that cannot be read (rights, a failing disk, too little memory) need not be: that is raised.
        """
        content = io.BytesIO(self._path(number).read_bytes())
        try:
            with zipfile.ZipFile(content) as file:
                is_whole = file.testzip() is None
        except Exception:  # what zipfile raises on damage is more than it says
            is_whole = False
        if not is_whole:
            return None
        content.seek(0)
        with np.load(content) as arrays:
            read = dict(arrays)
        return read if "history" in read else None


def _write(path, arrays):
    with path.open("wb") as file:
        np.savez(file, **arrays)
