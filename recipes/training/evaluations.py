"""Evaluations during training."""

import math
import time

import keras
import numpy as np

from seq2lite.export.conversion.precision import float32_twin

from ..data.splits import spread
from ..distributed import processes
from .loss import SmoothedCrossentropy


def best_round(history, score=None):
    """Number of the round with the best score; of equal ones, or without scores, that of the least loss.

    Args:
        history: List of dicts, one a round, as `fit` gives it. Rounds whose weights are lost do not count.
        score: The `decoding.Score` that they hold; None: none.
    """

    def worth(i):
        loss = -history[i]["val_loss"]
        if score is None or score.name not in history[i]:
            return loss
        value = history[i][score.name]
        return (value if score.mode == "max" else -value), loss

    there = [i for i, measured in enumerate(history) if not measured.get("is_lost")]
    if not there:
        raise ValueError("The run's folder must hold a whole checkpoint. Received: none")
    return 1 + max(there, key=worth)


def nats_a_token(model, batches):
    """Cross-entropy of a model on an epoch of `Batches`, unsmoothed: the mean over all tokens."""
    if not model.compiled:
        # As a metric: Keras's mean of losses weighs batches by their rows, not by their tokens.
        metric = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="nats")
        model.compile(
            loss=SmoothedCrossentropy(0.0),
            weighted_metrics=[metric],
            jit_compile=processes.JIT_COMPILE,
        )
    return model.evaluate(batches.dataset(), verbose=0, return_dict=True)["nats"]


class _Rounds(keras.callbacks.Callback):
    """At the end of each round: scores what would ship, writes the checkpoint, stops when enough."""

    def __init__(
        self, model, checkpoints, history, valid, training, score, round_batches, warmup_steps
    ):
        super().__init__()
        self.round_batches = round_batches
        self.warmup_steps = warmup_steps
        self.checkpoints = checkpoints
        self.history = history
        self.valid = valid
        self.training = training
        self.score = score
        # What is scored computes in float32, as files do.
        self.shipped = float32_twin(model)
        self.scored_pairs = spread(score.pairs, training.score_pairs) if score else []
        self.guess = math.log(model.vocabulary_size)
        self.began = history[0].get("began", math.inf) if history else math.inf  # the first loss
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0 and not self.history:
            self.began = logs["loss"]
        # The mean of this round so far, of enough batches, and the warm-up is over.
        if batch >= 100 and len(self.history) * self.round_batches + batch > self.warmup_steps:
            self.check_divergence(logs["loss"])

    def on_epoch_end(self, epoch, logs=None):
        if self.history:
            self.check_divergence(logs["loss"])
        measured = processes.from_first(lambda: self.measured(logs["loss"]))
        if not math.isfinite(measured["val_loss"]):
            raise ValueError(
                f"The loss on held-out text must be finite. Received: {measured['val_loss']} after "
                f"round {len(self.history) + 1}, which is not kept. Try a lower --learning-rate, a "
                "longer --warmup-steps or --precision float32"
            )
        logs.update(measured)
        self.history.append(
            {
                "round": len(self.history) + 1,
                **({} if self.history else {"began": self.began}),
                **measured,
                "learning_rate": float(np.array(self.model.optimizer.learning_rate)),
                "seconds": time.perf_counter() - self.started,
            }
        )
        self.started = time.perf_counter()
        if processes.is_first():
            self.checkpoints.save(self.history, also_keep=self.best_rounds())
        if self.is_enough():
            self.model.stop_training = True

    def measured(self, loss):
        """What the weights are worth that would ship now."""
        number = len(self.history) + 1
        weights, _ = self.checkpoints.averaged(number, self.training.average, now=number)
        with processes.local():
            self.shipped.set_weights(weights)
            return {
                "loss": loss,
                "val_loss": nats_a_token(self.shipped, self.valid),
                **(self.score(self.shipped, self.scored_pairs) if self.scored_pairs else {}),
            }

    def check_divergence(self, loss):
        # Large embeddings begin above a guess, and a round of few batches is noise: a nat of either.
        limit = 1 + max(self.guess, min([self.began, *(h["loss"] for h in self.history)]))
        if loss > limit:
            raise ValueError(
                f"The loss must stay below {limit:.2f}, a nat above a guess or above the least of its first "
                f"batch and its rounds, whichever is more. Received: {loss:.2f} in round "
                f"{len(self.history) + 1}: the training has diverged. Try a lower --learning-rate or a "
                f"longer --warmup-steps{'; --finish exports the best of the earlier rounds' * bool(self.history)}"
            )

    def best_round(self):
        return best_round(self.history, self.score)

    def best_rounds(self):
        """Numbers of the rounds that the best model is the average of, and the best one before this round.

        If the checkpoint of this one is torn, the best one is that again.
        """
        count, average = len(self.history), self.training.average
        best = {best_round(self.history[:n], self.score) for n in (max(1, count - 1), count)}
        return {number - i for number in best for i in range(average)}

    def is_enough(self):
        patience = self.training.patience
        return bool(patience and self.history) and len(self.history) - self.best_round() >= patience

    def best_model(self):
        """A float32 model with the weights of the best round that is there; not compiled, as the zoo builds it.

        Rounds whose checkpoints are torn or no longer kept, better ones and what the mean should have
        had, are marked in the history. The newest one is there: the training has just written it, or
        gone on from it.
        """
        weights = None
        while weights is None:
            number, count = self.best_round(), self.training.average
            weights, lost = self.checkpoints.averaged(number, count)
            for each in lost:
                self.history[each - 1]["is_lost"] = True
        best = float32_twin(self.shipped)
        best.set_weights(weights)
        return best
