"""Training options."""

import dataclasses
import importlib.util
import math

from ..distributed.precision import PRECISIONS
from ..options import check_choices, option
from .schedules import SCHEDULES

_BOUNDS = {  # minimum and maximum
    "epochs": (1, math.inf),
    "batch_tokens": (1, math.inf),
    "learning_rate": (0, math.inf),
    "warmup_steps": (1, math.inf),
    "weight_decay": (0, math.inf),
    "clip_norm": (0, math.inf),
    "accumulate": (1, math.inf),
    "label_smoothing": (0, 0.999),
    "ema": (0, 0.999999),
    "average": (1, math.inf),
    "alpha": (0, math.inf),
    "checkpoint_steps": (0, math.inf),
    "score_pairs": (0, math.inf),
    "patience": (0, math.inf),
    "seed": (0, 2**32 - 1),
}


@dataclasses.dataclass(frozen=True)
class Training:
    """Training options; each field is a flag of every recipe."""

    epochs: int = option(8, "number of epochs")
    batch_tokens: int = option(
        1024, "maximum size of a batch: its pairs times the length of the longest source or target"
    )
    learning_rate: float = option(
        0.0,
        "peak learning rate, at the end of the warm-up; 0: 4e-3 for RNNs, 2e-3 for Transformers, "
        "a quarter of it with --init-from",
    )
    schedule: str = option(
        "cosine", f"decay of the learning rate after the warm-up: {', '.join(SCHEDULES)}"
    )
    warmup_steps: int = option(
        200, "batches of the warm-up; at most a tenth of the training is used"
    )
    weight_decay: float = option(0.0, "weight decay of AdamW, on matrices only; 0: Adam")
    clip_norm: float = option(1.0, "maximum global gradient norm; 0: no limit")
    accumulate: int = option(1, "batches whose gradients are accumulated for one update")
    label_smoothing: float = option(0.1, "probability that is spread over the vocabulary")
    ema: float = option(
        0.0, "decay of an exponential moving average of the weights, such as 0.999; 0: no average"
    )
    average: int = option(1, "number of last checkpoints whose weights are averaged")
    alpha: float = option(
        0.0, "smoothing of subword regularization, such as 0.3; 0: most probable segmentation"
    )
    precision: str = option("auto", f"compute dtype: {', '.join(PRECISIONS)}")
    checkpoint_steps: int = option(
        0, "evaluation interval in batches, after which a checkpoint is written; 0: one epoch"
    )
    score_pairs: int = option(
        200,
        "maximum number of held-out pairs that each evaluation decodes and scores; 0: the held-out "
        "loss selects the best weights, as it always does in `generate`",
    )
    patience: int = option(
        0, "evaluations without improvement after which training stops early; 0: never"
    )
    finish: bool = option(False, "do not train: export and score the best checkpoint so far")
    tensorboard: bool = option(False, "write logs for TensorBoard")
    deterministic: bool = option(
        False, "under TensorFlow, use only deterministic operations, which may be slower"
    )
    data_service: str = option(
        "", "address of a tf.data service that prepares batches, or several separated by commas"
    )
    seed: int = option(1, "random seed of weights, batch order and dropout")

    def __post_init__(self):
        for name, (minimum, maximum) in _BOUNDS.items():
            value = getattr(self, name)
            if not minimum <= value <= maximum or math.isinf(value):
                bound = f"from {minimum} to {maximum}"
                bound = f"at least {minimum}" if maximum is math.inf else bound
                bound = bound if math.isfinite(value) else f"finite and {bound}"
                raise ValueError(f"`{name}` must be {bound}. Received: {value}")
        check_choices("schedule", [self.schedule], SCHEDULES)
        check_choices("precision", [self.precision], PRECISIONS)
        if self.tensorboard and importlib.util.find_spec("tensorboard") is None:
            raise ValueError(
                "`tensorboard` must be installed: pip install 'seq2lite[tensorboard]'. "
                "Received: no such package"
            )
        if self.alpha and self.data_service:
            raise ValueError(
                "`alpha` must be 0 with a data service, which cannot sample segmentations. "
                f"Received: alpha={self.alpha}"
            )
