"""Training in plain Keras: `compile`, `fit`, and callbacks; it can be stopped and gone on with.

A training is cut into rounds (an epoch each, unless `checkpoint_steps` says otherwise). At the end of
each one the weights as they would ship are scored by the search that would ship, and all of the
training's state is written down: see `checkpoints.py`.
"""

from pathlib import Path

import keras
import tensorflow as tf

from ..distributed import processes
from ..run.folder import CHECKPOINTS, require_same_tokenizer, save_tokenizer
from .checkpoints import Checkpoints
from .evaluations import _Rounds
from .optimizer import compile_for_training
from .progress import Progress, StopAtNonFinite
from .schedules import shortened_warmup


def fit(model, train, valid, training, folder, score=None):
    """Trains `model` from where an earlier training of this folder stopped.

    Args:
        model: A `zoo.Seq2Seq`; in mixed precision, perhaps.
        train: `Batches`.
        valid: `Batches` of held-out text.
        training: A `Training`.
        folder: The run's folder; checkpoints are in it.
        score: A `decoding.Score`; None: the loss on held-out text chooses the best round.

    In each of several processes, or on several devices: see `processes.py`.

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
    processes.require_same(num_batches=train.num_batches, num_tokens=train.num_tokens)
    model = processes.distributed(model)
    with processes.scope():
        compile_for_training(model, training, num_rounds * round_batches)
        checkpoints = Checkpoints(Path(folder) / CHECKPOINTS, model, keep=training.average + 1)
    history = checkpoints.restore()
    if training.finish and not history:
        raise ValueError(
            f"`finish` must find a whole checkpoint. Received: {folder}, which has none"
        )
    if processes.is_first():
        keep = require_same_tokenizer if history else save_tokenizer
        keep(train.tokenizer, folder)
    score = score if training.score_pairs else None
    warmup_steps = shortened_warmup(training.warmup_steps, num_rounds * round_batches)
    rounds = _Rounds(
        model, checkpoints, history, valid, training, score, round_batches, warmup_steps
    )
    if history and not processes.is_trained():
        what = "finishes" if training.finish else "goes on"
        print(f"{what} after round {len(history)} of {num_rounds}", flush=True)
    is_over = len(history) >= num_rounds or rounds.is_enough() or processes.is_trained()
    if not is_over and not (history and training.finish):
        if processes.is_first():
            checkpoints.require_space(num_rounds)
        first = len(history) * round_batches
        progress = Progress(num_rounds * round_batches, first, train.num_tokens / train.num_batches)
        callbacks = [StopAtNonFinite(train, first), rounds, progress]
        if training.tensorboard and processes.is_first():
            callbacks.append(keras.callbacks.TensorBoard(str(Path(folder) / "tensorboard")))
        dataset = train.dataset(
            first,
            num_rounds * round_batches - first,
            shard=processes.shard(),
            service=training.data_service or None,
        )
        with processes.scope(), progress:
            model.fit(
                dataset,
                initial_epoch=len(history),
                epochs=num_rounds,
                steps_per_epoch=round_batches,
                shuffle=False,  # the batches are
                verbose=0,
                callbacks=callbacks,
            )
    processes.leave_after_training(training.precision)
    return rounds.best_model(), history
