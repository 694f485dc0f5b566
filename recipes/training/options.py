"""Training options."""

import dataclasses
import importlib.util
import math

from ..distributed.precision import PRECISIONS
from ..options import option
from .schedules import SCHEDULES


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
