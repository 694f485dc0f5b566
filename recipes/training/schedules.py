"""Learning rates: a linear warm-up, and what follows it."""

import keras
from keras import ops

SCHEDULES = ("cosine", "inverse_square_root", "constant")


def schedule(name, learning_rate, warmup_steps, num_steps):
    """A learning rate that rises to `learning_rate`, and then does as it is named.

    Args:
        name: `"cosine"`: half a cosine down to 0 (Loshchilov and Hutter 2017,
            https://arxiv.org/abs/1608.03983); `"inverse_square_root"`: with the root of the step
            (Vaswani et al. 2017, equation 3, scaled to its peak); `"constant"`.
        learning_rate: At the end of the warm-up.
        warmup_steps: Length of the rise; at most a tenth of `num_steps`.
        num_steps: Length of the training, in batches.

    Returns:
        A `keras.optimizers.schedules.LearningRateSchedule`.

    Raises:
        ValueError: There is no schedule of that name.

    Example:
        >>> from seq2lite.recipes.training.schedules import schedule
        >>> rate = schedule("inverse_square_root", 1e-3, warmup_steps=100, num_steps=2000)
        >>> [round(float(rate(step)), 6) for step in (50, 100, 400)]
        [0.0005, 0.001, 0.0005]
    """
    if name not in SCHEDULES:
        raise ValueError(f"`schedule` must be of {', '.join(SCHEDULES)}. Received: {name}")
    warmup_steps = shortened_warmup(warmup_steps, num_steps)
    if name == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            0.0,
            decay_steps=max(1, num_steps - warmup_steps),
            warmup_target=learning_rate,
            warmup_steps=warmup_steps,
        )
    return WarmUp(learning_rate, warmup_steps, power=0.5 if name == "inverse_square_root" else 0.0)


def peak_learning_rate(learning_rate, is_rnn):
    """What is asked for; if that is 0, what suits the family.

    In the few epochs that a recipe takes an RNN gains by twice a Transformer's, at which that learns
    less (docs/recipes.md, "What was tried").

    Args:
        learning_rate: At the end of the warm-up, or 0.
        is_rnn: Whether an RNN learns, and no Transformer.

    Example:
        >>> from seq2lite.recipes.training.schedules import peak_learning_rate
        >>> peak_learning_rate(0.0, is_rnn=True), peak_learning_rate(1e-3, is_rnn=True)
        (0.004, 0.001)
    """
    return learning_rate or (4e-3 if is_rnn else 2e-3)


def shortened_warmup(warmup_steps, num_steps):
    """Steps of the rise: as many as asked, a tenth of the training at most, one at least."""
    return min(warmup_steps, max(1, num_steps // 10))


@keras.saving.register_keras_serializable("seq2lite")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise, then a fall with a power of the step.

    Args:
        learning_rate: At the end of the rise.
        warmup_steps: Length of the rise.
        power: 0.5 for the inverse square root, 0 for no fall.
    """

    def __init__(self, learning_rate, warmup_steps, power):
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.power = power

    def __call__(self, step):
        step = ops.cast(step, "float32") / self.warmup_steps
        return self.learning_rate * ops.minimum(step, ops.maximum(step, 1.0) ** -self.power)

    def get_config(self):
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "power": self.power,
        }
