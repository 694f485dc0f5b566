"""Optimizer of a training."""

import keras

from seq2lite.zoo import Seq2Seq

from ..distributed.backend import JIT_COMPILE
from ..distributed.mirrored import with_joint_clipping
from .loss import SmoothedCrossentropy
from .options import Training
from .schedules import schedule


def compile_for_training(model: Seq2Seq, training: Training, num_batches: int) -> None:
    """Compile a model with AdamW, the schedule and the smoothed loss.

    Args:
        model: A `zoo.Seq2Seq`.
        training: The `Training` options.
        num_batches: Number of batches of the whole training.
    """
    optimizer = with_joint_clipping(keras.optimizers.AdamW)(
        schedule(
            training.schedule,
            training.learning_rate or model.peak_learning_rate,
            training.warmup_steps,
            num_batches,
        ),
        weight_decay=training.weight_decay,
        beta_2=0.98,
        global_clipnorm=training.clip_norm or None,
        gradient_accumulation_steps=training.accumulate if training.accumulate > 1 else None,
        use_ema=training.ema > 0,
        ema_momentum=training.ema,
    )
    # As usual, biases and the scales of normalizations do not decay.
    optimizer.exclude_from_weight_decay(
        var_list=[w for w in model.trainable_variables if len(w.shape) < 2 or w.name == "bias"]
    )
    model.compile(
        optimizer, SmoothedCrossentropy(training.label_smoothing), jit_compile=JIT_COMPILE
    )
