"""Keras callbacks of a training: each does one thing at the end of a batch or of an evaluation interval."""

import math
from typing import Any

import keras

from ..data.batches import Batches
from ..distributed import processes
from .checkpoints import Checkpoints
from .evaluations import ADVICE
from .history import History


class DivergenceGuard(keras.callbacks.Callback):
    """End a training whose loss rises above that of random guessing.

    Args:
        history: The `History` of the training.
        vocabulary_size: Number of tokens, for the loss of random guessing.
        interval: Evaluation interval in batches.
        warmup_steps: Batches of the warm-up, which is not checked within an interval.
    """

    def __init__(self, history: History, vocabulary_size: int, interval: int, warmup_steps: int):
        super().__init__()
        self.history = history
        self.guess_loss = math.log(vocabulary_size)
        self.interval = interval
        self.warmup_steps = warmup_steps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 0 and not self.history:
            self.history.first_loss = logs["loss"]
        # The loss is the mean of this interval so far; that of fewer batches is noise.
        if batch >= 100 and len(self.history) * self.interval + batch > self.warmup_steps:
            self.check(logs["loss"])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.history:
            self.check(logs["loss"])

    def check(self, loss: float) -> None:
        """Raise ValueError if the loss is 1 nat above a guess, and above the minimum so far."""
        # Large embeddings start above a guess, and the mean of few batches is noisy: hence 1 nat.
        losses = [evaluation["loss"] for evaluation in self.history.evaluations]
        limit = 1 + max(self.guess_loss, min([self.history.first_loss, *losses]))
        if loss > limit:
            earlier = "; --finish exports the best earlier evaluation" if losses else ""
            raise ValueError(
                f"The loss must stay below {limit:.2f}: 1 nat above that of random guessing, or above "
                f"the minimum of the first batch and all evaluations, whichever is higher. "
                f"Received: {loss:.2f} before evaluation {len(losses) + 1}; the training has "
                f"diverged. Try a lower --learning-rate or a longer --warmup-steps{earlier}"
            )


class Checkpointing(keras.callbacks.Callback):
    """Write a checkpoint after each evaluation.

    Args:
        checkpoints: The `Checkpoints`.
        history: The `History`, saved with each checkpoint.
    """

    def __init__(self, checkpoints: Checkpoints, history: History):
        super().__init__()
        self.checkpoints = checkpoints
        self.history = history

    def on_train_begin(self, logs: Any = None) -> None:
        if processes.is_first():
            self.checkpoints.require_space(self.params["epochs"])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if processes.is_first():
            number = len(self.history)
            # If this checkpoint is the best one and gets corrupted, the previous best is needed.
            best = {self.history.best(max(1, number - 1)), self.history.best()}
            needed = {n for number in best for n in self.checkpoints.averaged(number)}
            self.checkpoints.save(number, self.history.state(), also_keep=needed)


class EarlyStopping(keras.callbacks.Callback):
    """End a training after a number of evaluations that are not better than the best one.

    Args:
        history: The `History` of the training.
        patience: Number of evaluations; 0 never ends the training.
    """

    def __init__(self, history: History, patience: int):
        super().__init__()
        self.history = history
        self.patience = patience

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.history.has_stalled(self.patience):
            self.model.stop_training = True


class StopAtNonFinite(keras.callbacks.Callback):
    """End a training at the first batch whose loss is infinite or NaN, and name its pairs.

    Args:
        batches: The `Batches` that are trained on.
        first: Number of the first batch.
    """

    def __init__(self, batches: Batches, first: int):
        super().__init__()
        self.batches = batches
        self.number = first

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not math.isfinite(logs["loss"]):
            if hasattr(self.model, "jax_state_sync"):
                self.model.jax_state_sync()  # during `fit`, JAX's variables have no value
            rate = float(self.model.optimizer.learning_rate)
            raise ValueError(
                f"The loss must be finite. Received: {logs['loss']} at batch {self.number} "
                f"({self._lines()}), at a learning rate of {rate:.2g}. Check these pairs, and those "
                f"of the previous batch, whose gradient may have been infinite. {ADVICE}"
            )
        self.number += 1

    def _lines(self):
        """Return which lines of the data the batch contains, at most 8."""
        indices = self.batches.pairs_of(self.number)
        lines = [self.batches.lines[i] for i in indices[:8]]
        text = "; ".join(map(str, lines))
        text += f" and {len(indices) - 8} more" if len(indices) > 8 else ""
        is_number = isinstance(lines[0], int)
        return f"lines {text} of {self.batches.origin}" if is_number else text
