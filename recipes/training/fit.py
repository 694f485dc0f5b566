"""Training with Keras's `compile`, `fit` and callbacks; a stopped training resumes exactly.

A training is cut into evaluation intervals, an epoch each unless `checkpoint_steps` is set. At the
end of an interval the weights are evaluated as they would be exported, and a checkpoint is written.
To Keras, an interval is an epoch.
"""

import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from seq2lite.export.conversion.precision import float32_twin
from seq2lite.export.runtime.tokenizer import Tokenizer, Tokenizers
from seq2lite.export.system.atomic import write_atomically
from seq2lite.zoo import Seq2Seq

from ..data.prepare import Data
from ..distributed import processes
from ..distributed.devices import Devices
from .callbacks import Checkpointing, DivergenceGuard, EarlyStopping, Evaluation, StopAtNonFinite
from .checkpoints import FOLDER, Checkpoints
from .history import History
from .optimizer import compile_for_training
from .options import Training
from .progress import Progress
from .result import RunResult
from .schedules import shortened_warmup

# In a run folder.
TOKENIZER = "tokenizer.model"
TARGET_TOKENIZER = "target_tokenizer.model"  # if the target has its own


def fit(
    model: Seq2Seq,
    data: Data,
    training: Training,
    folder: str | os.PathLike,
    score=None,
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
    folder, score = Path(folder), score if training.score_pairs else None
    train, devices = data.train, Devices()
    num_batches = training.epochs * train.num_batches
    num_evaluations = -(-num_batches // (training.checkpoint_steps or train.num_batches))
    # Intervals are equal, so the training may exceed its epochs by a few batches.
    interval = -(-num_batches // num_evaluations)
    num_batches = num_evaluations * interval

    processes.require_same(num_batches=train.num_batches, num_tokens=train.num_tokens)
    model = devices.copy(model)
    with devices.scope():
        compile_for_training(model, training, num_batches)
        checkpoints = Checkpoints(folder / FOLDER, model, keep=training.average + 1)
    history = History(score.name, score.mode) if score else History()
    if state := checkpoints.restore():
        history.load_state(state)
    elif training.finish:
        raise ValueError(f"`finish` must find an intact checkpoint. Received: none in {folder}")
    if processes.is_first():
        _keep_tokenizer(data.tokenizer, folder, is_resumed=bool(history))
    early_stopping = EarlyStopping(history, training.patience)
    is_complete = len(history) >= num_evaluations or early_stopping.is_due()
    if not is_complete and not training.finish:
        if history:
            print(f"resumes after evaluation {len(history)} of {num_evaluations}", flush=True)
        if processes.is_first():
            checkpoints.require_space(num_evaluations)
        first = len(history) * interval
        warmup_steps = shortened_warmup(training.warmup_steps, num_batches)
        progress = Progress(num_batches, first, train.num_tokens / train.num_batches)
        callbacks = [
            StopAtNonFinite(train, first),
            DivergenceGuard(history, model.vocabulary_size, interval, warmup_steps),
            Evaluation(
                model,
                checkpoints,
                history,
                data.valid,
                score,
                training.score_pairs,
                training.average,
            ),
            Checkpointing(checkpoints, history, training.average),
            early_stopping,
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
    best, averaged = _best_model(model, checkpoints, history, training.average)
    return RunResult(folder, data, best, history, averaged, is_complete)


def _best_model(model, checkpoints, history, average):
    """Return a float32 model with the best weights, and the evaluations that they average.

    Evaluations whose checkpoints are corrupted or deleted are marked in the history. The latest
    checkpoint is intact: the training has just written it or resumed from it.
    """
    weights = None
    if processes.is_first():
        while weights is None:
            number = history.best()
            weights, lost = checkpoints.averaged_weights(number, average)
            history.mark_lost(lost)
    history.load_state(processes.from_first(history.state))
    number = history.best()
    weights = processes.broadcast(weights or [np.zeros(w.shape, w.dtype) for w in model.weights])
    best = float32_twin(model)
    best.set_weights([np.array(weight) for weight in weights])
    numbers = range(max(1, number - average + 1), number + 1)
    return best, tuple(n for n in numbers if n not in history.lost())


def _keep_tokenizer(tokenizer, folder, is_resumed):
    """Save the tokenizer in the run folder; raise ValueError if a resumed run has another one.

    Another release of SentencePiece may learn another tokenizer from the same text.
    """
    if not is_resumed:
        save_tokenizer(tokenizer, folder)
        return
    for name, content in _tokenizer_files(tokenizer).items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            raise ValueError(
                f"{path} must be the tokenizer that this run learns from its data. Received: "
                "another one, perhaps learned by another release of sentencepiece. Install that "
                "release, or give another --output"
            )


def save_tokenizer(tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer], folder: Path):
    """Save a tokenizer, or one for each side, in a run folder."""
    for name, content in _tokenizer_files(tokenizer).items():
        write_atomically(folder / name, lambda partial, c=content: partial.write_bytes(c))


def _tokenizer_files(tokenizer):
    """Return the content of the tokenizer's files by name, as a bundle names them."""
    tokenizers = Tokenizers.of(tokenizer)
    files = {TOKENIZER: tokenizers.source.model_bytes}
    if not tokenizers.are_shared:
        files[TARGET_TOKENIZER] = tokenizers.target.model_bytes
    return files
