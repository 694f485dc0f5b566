"""Training with Keras's `compile`, `fit` and callbacks; a stopped training resumes exactly.

A training is cut into evaluation intervals, an epoch each unless `checkpoint_steps` is set. At the
end of an interval the weights are evaluated as they would be exported, and a checkpoint is written.
To Keras, an interval is an epoch.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from seq2lite.export.conversion.precision import float32_twin
from seq2lite.zoo import Seq2Seq

from ..data.prepare import Data
from ..data.splits import spread
from ..distributed import processes
from ..distributed.devices import Devices
from .artifacts import keep_tokenizer
from .callbacks import Checkpointing, DivergenceGuard, EarlyStopping, StopAtNonFinite
from .checkpoints import FOLDER, Checkpoints
from .evaluations import Evaluation
from .history import History, measure_names
from .optimizer import compile_for_training
from .options import Training
from .progress import Progress
from .result import RunResult
from .schedules import describe_training, shortened_warmup

if TYPE_CHECKING:  # a real import would be a circle
    from ..evaluation.decoding import Score


def fit(
    model: Seq2Seq,
    data: Data,
    training: Training,
    folder: str | os.PathLike,
    score: "Score | None" = None,
) -> RunResult:
    """Train a model, from the last checkpoint in the folder if there is one.

    With several processes, each calls this function; see `distributed/processes.py`. With several
    devices, all share each batch.

    Args:
        model: A `zoo.Seq2Seq`, in float32 or mixed precision.
        data: The `Data` to train on and to evaluate with.
        training: The `Training` options.
        folder: The run folder, for checkpoints.
        score: The `Score` that selects the best weights. Default: the held-out loss does.

    Returns:
        A `RunResult` with the best model and the history.

    Raises:
        ValueError: The loss becomes infinite or NaN, or the training diverges.
        OSError: A checkpoint cannot be written.
    """
    if training.deterministic and keras.backend.backend() == "tensorflow":
        tf.config.experimental.enable_op_determinism()
    folder, train, devices = Path(folder), data.train, Devices()
    score_pairs = spread(score.pairs, training.score_pairs) if score else []
    num_batches = training.epochs * train.num_batches
    num_evaluations = -(-num_batches // (training.checkpoint_steps or train.num_batches))
    # Intervals are equal, so the training may exceed its epochs by a few batches.
    interval = -(-num_batches // num_evaluations)
    num_batches = num_evaluations * interval

    processes.require_same(num_batches=train.num_batches, num_tokens=train.num_tokens)
    model = devices.copy(model)
    with devices.scope():
        compile_for_training(model, training, num_batches)
        checkpoints = Checkpoints(folder / FOLDER, model, training.average)
    exported = float32_twin(model)  # files compute in float32
    history = History(score.name, score.mode) if score and score_pairs else History()
    if state := checkpoints.restore():
        history.load_state(state)
    elif training.finish:
        raise ValueError(f"`finish` must find an intact checkpoint. Received: none in {folder}")
    if processes.is_first():
        keep_tokenizer(data.tokenizer, folder, is_resumed=bool(history))
    is_complete = len(history) >= num_evaluations or history.has_stalled(training.patience)
    if not is_complete and not training.finish:
        if history:
            print(f"resumes after evaluation {len(history)} of {num_evaluations}", flush=True)
        else:
            lengths = training.epochs, training.accumulate, training.warmup_steps
            print(f"training: {describe_training(num_batches, *lengths)}", flush=True)
        first = len(history) * interval
        warmup_steps = shortened_warmup(training.warmup_steps, num_batches)
        names = measure_names(training.label_smoothing)
        progress = Progress(num_batches, first, train.num_tokens / train.num_batches, names)
        evaluation = Evaluation(exported, checkpoints, history, data.valid, score, score_pairs)
        callbacks = [
            StopAtNonFinite(train, first),
            DivergenceGuard(history, model.vocabulary_size, interval, warmup_steps),
            evaluation,
            Checkpointing(checkpoints, history),
            EarlyStopping(history, training.patience),
            progress,
        ]
        if training.tensorboard and processes.is_first():
            callbacks.append(keras.callbacks.TensorBoard(str(folder / "tensorboard")))
        dataset = train.dataset(
            first,
            num_batches - first,
            shard=processes.shard(),
            service=training.data_service or None,
        )
        with devices.scope(), progress:
            model.fit(
                dataset,
                initial_epoch=len(history),
                epochs=num_evaluations,
                steps_per_epoch=interval,
                shuffle=False,  # `Batches` shuffles
                verbose=0,
                callbacks=callbacks,
            )
        is_complete = True
    exported.set_weights(checkpoints.best_weights(history))
    averaged = tuple(n for n in checkpoints.averaged(history.best()) if n not in history.lost())
    return RunResult(folder, data, exported, history, averaged, is_complete)
