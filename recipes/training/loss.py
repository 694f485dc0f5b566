"""Cross-entropy with label smoothing."""

from typing import Any

import keras
from keras import ops

from seq2lite.zoo.shapes import Tensor

from ..distributed.mirrored import replica_weight


@keras.saving.register_keras_serializable("seq2lite")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of integer targets, with label smoothing (Szegedy et al. 2016, section 7).

    Keras smooths one-hot targets only, which need batch x length x vocabulary floats. The sample
    weights, 0 at padding, make the loss a mean over tokens.

    Args:
        label_smoothing: Probability in [0, 1) that is spread over the vocabulary. Default: 0.1.

    Example:
        >>> import numpy as np
        >>> from seq2lite.recipes.training.loss import SmoothedCrossentropy
        >>> loss = SmoothedCrossentropy(label_smoothing=0.1)
        >>> round(float(loss(np.array([[1]]), np.array([[[0.0, 0.0, 0.0, 0.0]]]))), 4)
        1.3863
    """

    def __init__(self, label_smoothing: float = 0.1, name: str = "smoothed_crossentropy"):
        super().__init__(name=name, reduction="mean_with_sample_weight")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"`label_smoothing` must be in [0, 1). Received: {label_smoothing!r}")
        self.label_smoothing = label_smoothing

    def call(self, targets: Tensor, logits: Tensor) -> Tensor:
        """Return the loss of each token.

        Args:
            targets: Token ids, `(batch, length)`.
            logits: float32, `(batch, length, vocabulary)`.

        Returns:
            float32, `(batch, length)`.
        """
        targets = ops.expand_dims(ops.cast(targets, "int32"), -1)

        # The backend's gradient of selecting one logit per token scatters into all logits, which takes
        # a fifth of a training step on a CPU. This gradient does not.
        @ops.custom_gradient
        def loss(logits):
            true = ops.squeeze(ops.take_along_axis(logits, targets, axis=-1), -1)
            smooth = (1 - self.label_smoothing) * true + self.label_smoothing * ops.mean(logits, -1)

            def gradient(*args, upstream=None):
                upstream = args[0] if upstream is None else upstream
                size = logits.shape[-1]
                hit = ops.one_hot(ops.squeeze(targets, -1), size, dtype=logits.dtype)
                smoothed = self.label_smoothing / size + (1 - self.label_smoothing) * hit
                return (ops.softmax(logits) - smoothed) * ops.expand_dims(upstream, -1)

            # The smoothed target sums to 1, so one logsumexp normalizes it.
            return ops.logsumexp(logits, axis=-1) - smooth, gradient

        return loss(logits)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Return the mean over tokens; with several replicas, their mean is that over all tokens."""
        loss = super().__call__(y_true, y_pred, sample_weight)
        return loss if sample_weight is None else loss * replica_weight(ops.sum(sample_weight))

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "label_smoothing": self.label_smoothing}
