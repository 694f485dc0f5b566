"""Optimizer and compilation."""

import keras

from seq2lite.zoo.rnn.model import RNNSeq2Seq

from ..distributed import processes
from ..distributed.mirrored import joint_clipping
from .loss import SmoothedCrossentropy
from .schedules import peak_learning_rate, schedule


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
        jit_compile=processes.JIT_COMPILE,
    )
