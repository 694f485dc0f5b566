"""Learning rate schedules with a linear warm-up."""

from typing import Any

import keras
from keras import ops

SCHEDULES = ("cosine", "inverse_square_root", "constant")


def schedule(
    name: str, learning_rate: float, warmup_steps: int, num_steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Make a schedule that rises linearly to `learning_rate` and then decays.

    Args:
        name: How it decays. `"cosine"`: half a cosine, to 0 (Loshchilov and Hutter 2017,
            https://arxiv.org/abs/1608.03983). `"inverse_square_root"`: with the square root of the
            step (Vaswani et al. 2017, equation 3, scaled to its peak). `"constant"`: not at all.
        learning_rate: Learning rate at the end of the warm-up.
        warmup_steps: Length of the warm-up in batches; at most a tenth of `num_steps` is used.
        num_steps: Length of the training in batches.

    Raises:
        ValueError: No schedule has this name.

    Example:
        >>> from seq2lite.recipes.training.schedules import schedule
        >>> rate = schedule("inverse_square_root", 1e-3, warmup_steps=100, num_steps=2000)
        >>> [round(float(rate(step)), 6) for step in (50, 100, 400)]
        [0.0005, 0.001, 0.0005]
    """
    if name not in SCHEDULES:
        raise ValueError(f"`schedule` must be one of {', '.join(SCHEDULES)}. Received: {name}")
    warmup_steps = shortened_warmup(warmup_steps, num_steps)
    if name == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            0.0,
            decay_steps=max(1, num_steps - warmup_steps),
            warmup_target=learning_rate,
            warmup_steps=warmup_steps,
        )
    return WarmUp(learning_rate, warmup_steps, power=0.5 if name == "inverse_square_root" else 0.0)


def shortened_warmup(warmup_steps: int, num_steps: int) -> int:
    """Return the length of the warm-up: at most a tenth of the training, and at least 1."""
    return min(warmup_steps, max(1, num_steps // 10))


def describe_training(
    num_batches: int, epochs: int, accumulate: int = 1, warmup_steps: int = 1
) -> str:
    """Return a sentence on the length of a training and of its warm-up.

    Args:
        num_batches: Length of the training in batches.
        epochs: Number of epochs.
        accumulate: Batches for one update. Default: 1.
        warmup_steps: Length of the warm-up in batches, before it is shortened. Default: 1.

    Example:
        >>> from seq2lite.recipes.training.schedules import describe_training
        >>> describe_training(88, epochs=8, warmup_steps=200)
        '88 updates in 8 epochs; warm-up of 8 batches, a tenth of them, instead of 200'
    """
    shortened = shortened_warmup(warmup_steps, num_batches)
    text = f"{num_batches // accumulate:,} updates in {epochs:,} epochs; warm-up of {shortened:,} batches"
    return (
        text
        if shortened == warmup_steps
        else f"{text}, a tenth of them, instead of {warmup_steps:,}"
    )


@keras.saving.register_keras_serializable("seq2lite")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then decay with a power of the step.

    Args:
        learning_rate: Learning rate at the end of the warm-up.
        warmup_steps: Length of the warm-up in batches.
        power: Exponent of the decay: 0.5 is the inverse square root, 0 no decay.
    """

    def __init__(self, learning_rate: float, warmup_steps: int, power: float):
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.power = power

    def __call__(self, step):
        step = ops.cast(step, "float32") / self.warmup_steps
        return self.learning_rate * ops.minimum(step, ops.maximum(step, 1.0) ** -self.power)

    def get_config(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "power": self.power,
        }
