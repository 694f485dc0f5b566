"""The evaluations of a training, and the best of them."""

import dataclasses
import math


def measure_names(label_smoothing: float) -> dict[str, str]:
    """Return the names of the losses for people, by their keys in a history.

    Label smoothing raises the training loss, so it cannot be compared with the held-out loss.

    Args:
        label_smoothing: Label smoothing of the training.

    Example:
        >>> from seq2lite.recipes.training.history import measure_names
        >>> measure_names(0.1)
        {'loss': 'training loss (smoothed)', 'val_loss': 'held-out loss'}
    """
    training = "training loss (smoothed)" if label_smoothing else "training loss"
    return {"loss": training, "val_loss": "held-out loss"}


@dataclasses.dataclass
class History:
    """Evaluations of a training, oldest first.

    Attributes:
        metric: Name of the number that selects the best evaluation; `"val_loss"` if no score does.
        mode: `"max"` or `"min"`: which values of the metric are better.
        evaluations: A dict for each evaluation: its number from 1, `loss`, `val_loss`, the scores,
            `learning_rate` and `seconds`; `is_lost` if its checkpoint is corrupted or deleted.
        first_loss: Loss of the first batch.

    Example:
        >>> from seq2lite.recipes.training.history import History
        >>> history = History("chrF", "max")
        >>> history.evaluations = [{"val_loss": 3.0, "chrF": 21.5}, {"val_loss": 2.9, "chrF": 21.0}]
        >>> history.best(), history.num_since_best()
        (1, 1)
    """

    metric: str = "val_loss"
    mode: str = "min"
    evaluations: list[dict] = dataclasses.field(default_factory=list)
    first_loss: float = math.inf

    def __len__(self):
        return len(self.evaluations)

    def state(self) -> dict:
        """Return the state that a checkpoint saves; `load_state` restores it."""
        return {"first_loss": self.first_loss, "evaluations": self.evaluations}

    def load_state(self, state: dict) -> None:
        """Replace the evaluations by those of a checkpoint."""
        self.first_loss, self.evaluations = state["first_loss"], state["evaluations"]

    def best(self, until: int | None = None) -> int:
        """Return the number of the best evaluation whose checkpoint is not lost.

        Of equal ones, that with the lowest held-out loss is the best.

        Args:
            until: Number of the last evaluation to consider. Default: all are considered.

        Raises:
            ValueError: All checkpoints are lost.
        """

        def rank(number):
            measured = self.evaluations[number - 1]
            value = measured[self.metric]
            return (value if self.mode == "max" else -value), -measured["val_loss"]

        last = len(self) if until is None else until
        numbers = [n for n in range(1, last + 1) if n not in self.lost()]
        if not numbers:
            raise ValueError("The run folder must contain an intact checkpoint. Received: none")
        return max(numbers, key=rank)

    def num_since_best(self) -> int:
        """Return the number of evaluations after the best one."""
        return len(self) - self.best() if self.evaluations else 0

    def has_stalled(self, patience: int) -> bool:
        """Return whether the last `patience` evaluations are not better than the best; 0: never."""
        return 0 < patience <= self.num_since_best()

    def lost(self) -> list[int]:
        """Return the numbers of evaluations whose checkpoints are corrupted or deleted."""
        return [n for n, e in enumerate(self.evaluations, start=1) if e.get("is_lost")]

    def mark_lost(self, numbers: list[int]) -> None:
        """Mark evaluations, by number, whose checkpoints are corrupted or deleted."""
        for number in numbers:
            self.evaluations[number - 1]["is_lost"] = True
