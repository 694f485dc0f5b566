"""Training in plain Keras: `compile`, `fit`, and callbacks; it can be stopped and gone on with.

A training is cut into rounds (an epoch each, unless `checkpoint_steps` says otherwise). At the end of
each one the weights as they would ship are scored by the search that would ship, and all of the
training's state is written down: see `checkpoints.py`.
"""

import dataclasses
import importlib.util
import math
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ..export.signatures import float32_twin
from ..zoo.rnn import RNNSeq2Seq
from . import distribution
from .checkpoints import Checkpoints
from .command import option
from .loss import SmoothedCrossentropy
from .precision import PRECISIONS
from .progress import Progress, StopAtNonFinite
from .replicas import joint_clipping
from .run_folder import CHECKPOINTS, require_same_tokenizer, save_tokenizer
from .schedules import SCHEDULES, peak_learning_rate, schedule, shortened_warmup


@dataclasses.dataclass(frozen=True)
class Training:
    """How a model is trained; each field is a flag of every recipe."""

    epochs: int = option(8, "times that each pair is seen")
    batch_tokens: int = option(1024, "pairs in a batch times the length of the longest")
    learning_rate: float = option(
        0.0, "at the end of the warm-up; 0: what suits the family, 2e-3 or, of an RNN, 4e-3"
    )
    schedule: str = option("cosine", f"what follows it; of {', '.join(SCHEDULES)}")
    warmup_steps: int = option(200, "batches of the warm-up; a tenth of the training at most")
    weight_decay: float = option(0.0, "AdamW's, of matrices alone; 0: Adam")
    clip_norm: float = option(1.0, "longest gradient, of all weights together; 0: any")
    accumulate: int = option(1, "batches whose gradients make one step")
    label_smoothing: float = option(0.1, "part of the probability spread over the vocabulary")
    ema: float = option(0.0, "decay of an average of the weights, such as 0.999; 0: none")
    average: int = option(1, "last rounds whose weights are averaged")
    alpha: float = option(0.0, "SentencePiece sampling, such as 0.3; 0: the likeliest pieces")
    precision: str = option("auto", f"of the products; of {', '.join(PRECISIONS)}")
    checkpoint_steps: int = option(0, "batches of a round, about; 0: an epoch")
    score_pairs: int = option(
        200,
        "held-out pairs scored in each round; 0: none, the loss chooses, as it does in `generate`",
    )
    patience: int = option(0, "rounds without a better score that end the training; 0: no end")
    finish: bool = option(False, "train no more: export and score the best round there is")
    tensorboard: bool = option(False, "write logs for TensorBoard")
    deterministic: bool = option(
        False, "TensorFlow: only operations that always give the same, if slower ones"
    )
    data_service: str = option(
        "", "address of a tf.data service that makes the batches, or several with commas between"
    )
    seed: int = option(1, "of weights, order and dropout")

    def __post_init__(self):
        for name, least, most in (
            ("epochs", 1, math.inf),
            ("batch_tokens", 1, math.inf),
            ("learning_rate", 0, math.inf),
            ("warmup_steps", 1, math.inf),
            ("weight_decay", 0, math.inf),
            ("clip_norm", 0, math.inf),
            ("accumulate", 1, math.inf),
            ("label_smoothing", 0, 0.999),
            ("ema", 0, 0.999999),
            ("average", 1, math.inf),
            ("alpha", 0, math.inf),
            ("checkpoint_steps", 0, math.inf),
            ("score_pairs", 0, math.inf),
            ("patience", 0, math.inf),
            ("seed", 0, 2**32 - 1),
        ):
            value = getattr(self, name)
            if not least <= value <= most or math.isinf(value):
                bound = f"at least {least}" if most is math.inf else f"from {least} to {most}"
                bound = bound if math.isfinite(value) else f"finite and {bound}"
                raise ValueError(f"`{name}` must be {bound}. Received: {value}")
        for name, allowed in (("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"`{name}` must be of {', '.join(allowed)}. Received: {getattr(self, name)}"
                )
        if self.tensorboard and importlib.util.find_spec("tensorboard") is None:
            raise ValueError(
                "`tensorboard` must be installed to write its logs: pip install 'seq2lite[tensorboard]'. "
                "Received: no such package"
            )
        if self.alpha and self.data_service:
            raise ValueError(
                "`alpha` must be 0 with a data service, which cannot sample. "
                f"Received: alpha={self.alpha}"
            )


def compile_for_training(model, training, num_batches):
    """Compiles `model` with AdamW, the schedule and the smoothed loss that `training` asks for.

    Args:
        model: A `zoo.Seq2Seq`.
        training: A `Training`.
        num_batches: Batches of all of the training.
    """
    learning_rate = peak_learning_rate(training.learning_rate, isinstance(model, RNNSeq2Seq))
    optimizer = joint_clipping(keras.optimizers.AdamW)(
        schedule(training.schedule, learning_rate, training.warmup_steps, num_batches),
        weight_decay=training.weight_decay,
        beta_2=0.98,
        global_clipnorm=training.clip_norm or None,
        gradient_accumulation_steps=training.accumulate if training.accumulate > 1 else None,
        use_ema=training.ema > 0,
        ema_momentum=training.ema,
    )
    # As is usual: biases and scales of normalizations are left alone.
    optimizer.exclude_from_weight_decay(
        var_list=[w for w in model.trainable_variables if len(w.shape) < 2 or w.name == "bias"]
    )
    # One trace serves every shape of a batch; XLA would compile each.
    model.compile(
        optimizer,
        SmoothedCrossentropy(training.label_smoothing),
        jit_compile=distribution.JIT_COMPILE,
    )


def fit(model, train, valid, training, folder, score=None):
    """Trains `model` from where an earlier training of this folder stopped.

    Args:
        model: A `zoo.Seq2Seq`; in mixed precision, perhaps.
        train: `Batches`.
        valid: `Batches` of held-out text.
        training: A `Training`.
        folder: The run's folder; checkpoints are in it.
        score: A `decoding.Score`; None: the loss on held-out text chooses the best round.

    In each of several processes, or on several devices: see `distribution.py`.

    Returns:
        A float32 model with the weights of the best round, and the history: a list of dicts, one a
        round.

    Raises:
        ValueError: The loss became infinite or no number, or worse than a guess.
        OSError: A checkpoint could not be written.
    """
    if training.deterministic and keras.backend.backend() == "tensorflow":
        tf.config.experimental.enable_op_determinism()
    num_batches = training.epochs * train.num_batches
    num_rounds = -(-num_batches // (training.checkpoint_steps or train.num_batches))
    round_batches = -(
        -num_batches // num_rounds
    )  # all alike: a few batches more than asked at most
    distribution.require_same(num_batches=train.num_batches, num_tokens=train.num_tokens)
    model = distribution.distributed(model)
    with distribution.scope():
        compile_for_training(model, training, num_rounds * round_batches)
        checkpoints = Checkpoints(Path(folder) / CHECKPOINTS, model, keep=training.average + 1)
    history = checkpoints.restore()
    if training.finish and not history:
        raise ValueError(
            f"`finish` must find a whole checkpoint. Received: {folder}, which has none"
        )
    if distribution.is_first():
        keep = require_same_tokenizer if history else save_tokenizer
        keep(train.tokenizer, folder)
    score = score if training.score_pairs else None
    warmup_steps = shortened_warmup(training.warmup_steps, num_rounds * round_batches)
    rounds = _Rounds(
        model, checkpoints, history, valid, training, score, round_batches, warmup_steps
    )
    if history and not distribution.is_trained():
        what = "finishes" if training.finish else "goes on"
        print(f"{what} after round {len(history)} of {num_rounds}", flush=True)
    is_over = len(history) >= num_rounds or rounds.is_enough() or distribution.is_trained()
    if not is_over and not (history and training.finish):
        if distribution.is_first():
            checkpoints.require_space(num_rounds)
        first = len(history) * round_batches
        progress = Progress(num_rounds * round_batches, first, train.num_tokens / train.num_batches)
        callbacks = [StopAtNonFinite(train, first), rounds, progress]
        if training.tensorboard and distribution.is_first():
            callbacks.append(keras.callbacks.TensorBoard(str(Path(folder) / "tensorboard")))
        dataset = train.dataset(
            first,
            num_rounds * round_batches - first,
            shard=distribution.shard(),
            service=training.data_service or None,
        )
        with distribution.scope(), progress:
            model.fit(
                dataset,
                initial_epoch=len(history),
                epochs=num_rounds,
                steps_per_epoch=round_batches,
                shuffle=False,  # the batches are
                verbose=0,
                callbacks=callbacks,
            )
    distribution.leave_after_training(training.precision)
    return rounds.best_model(), history


def spread(items, count):
    """At most `count` of a list, from all over it."""
    return items[:: max(1, -(-len(items) // count))] if count else []


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
            jit_compile=distribution.JIT_COMPILE,
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
        measured = distribution.from_first(lambda: self.measured(logs["loss"]))
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
        if distribution.is_first():
            self.checkpoints.save(self.history, also_keep=self.best_rounds())
        if self.is_enough():
            self.model.stop_training = True

    def measured(self, loss):
        """What the weights are worth that would ship now."""
        number = len(self.history) + 1
        weights, _ = self.checkpoints.averaged(number, self.training.average, now=number)
        with distribution.local():
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
