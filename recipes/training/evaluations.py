"""The evaluations of a training: held-out loss and scores of the weights as they would be exported."""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from seq2lite.zoo.shapes import Tensor

from ..data.batches import Batches
from ..distributed import processes
from ..distributed.backend import JIT_COMPILE
from ..distributed.devices import first_device
from .checkpoints import Checkpoints
from .history import History
from .loss import SmoothedCrossentropy

if TYPE_CHECKING:  # a real import would be a circle
    from ..evaluation.decoding import Score

ADVICE = "Try a lower --learning-rate, a longer --warmup-steps or --precision float32"


class Evaluation(keras.callbacks.Callback):
    """Evaluate the weights as they would be exported, and add the result to the history.

    Args:
        exported: A float32 copy of the trained model. Each evaluation sets its weights.
        checkpoints: The `Checkpoints` of the trained model.
        history: The `History` to add to.
        valid: `Batches` of held-out pairs, for the loss.
        score: A `Score`. Default: None, for the loss only.
        pairs: Held-out pairs to score. Default: none, for the loss only.
    """

    def __init__(
        self,
        exported: keras.Model,
        checkpoints: Checkpoints,
        history: History,
        valid: Batches,
        score: "Score | None" = None,
        pairs: Sequence[tuple] = (),
    ):
        super().__init__()
        self.exported = exported
        self.cross_entropy = CrossEntropy(exported)
        self.checkpoints = checkpoints
        self.history = history
        self.valid = valid
        self.score = score
        self.pairs = pairs
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        number = len(self.history) + 1
        measured = processes.from_first(lambda: self.evaluate(number, logs["loss"]))
        if not math.isfinite(measured["val_loss"]):
            raise ValueError(
                f"The held-out loss must be finite. Received: {measured['val_loss']} in evaluation "
                f"{number}, which is not saved. {ADVICE}"
            )
        logs.update(measured)  # for the callbacks that follow
        self.history.evaluations.append(
            {
                "evaluation": number,
                **measured,
                "learning_rate": float(np.array(self.model.optimizer.learning_rate)),
                "seconds": time.perf_counter() - self.start,
            }
        )
        self.start = time.perf_counter()

    def evaluate(self, number: int, loss: float) -> dict[str, float]:
        """Return the training loss, the held-out loss and the scores of evaluation `number`."""
        weights, _ = self.checkpoints.averaged_weights(number, current=number)
        with first_device():
            self.exported.set_weights(weights)
            scores = self.score(self.exported, self.pairs) if self.score and self.pairs else {}
            return {"loss": loss, "val_loss": self.cross_entropy.measure(self.valid), **scores}


class CrossEntropy(keras.Model):
    """Cross-entropy of a model without smoothing, as a Keras model that `evaluate` compiles.

    Args:
        model: A `zoo.Seq2Seq`. It stays uncompiled.
    """

    def __init__(self, model: keras.Model):
        super().__init__(name="cross_entropy")
        self.model = model
        self.built = True
        # As a metric: Keras's mean loss weighs batches by their rows, not by their tokens.
        metric = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="nats")
        self.compile(
            loss=SmoothedCrossentropy(0.0), weighted_metrics=[metric], jit_compile=JIT_COMPILE
        )

    def call(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.model(inputs)

    def measure(self, batches: Batches) -> float:
        """Return the mean over all tokens of one epoch of `Batches`, in nats."""
        return self.evaluate(batches.dataset(), verbose=0, return_dict=True)["nats"]
