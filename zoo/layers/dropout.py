"""Dropout with half the random bits of Keras's layer, which take most of its time on a CPU."""

import keras
from keras import layers, ops


class Dropout(layers.Dropout):
    """`keras.layers.Dropout` that draws 16 random bits per element under TensorFlow.

    Keras draws a float of 32 bits, which it rounds to 8 bits in bfloat16. Forward and backward pass
    take about half as long here (`benchmarks/bench_dropout.py`). Srivastava et al. 2014,
    https://jmlr.org/papers/v15/srivastava14a.html, scaled in training.

    Args:
        rate: Fraction of the elements that become 0, rounded to a multiple of 1/65,536.

    Example:
        >>> import numpy as np
        >>> from seq2lite.zoo.layers.dropout import Dropout
        >>> np.unique(Dropout(0.5, seed=0)(np.ones((8, 8)), training=True)).tolist()
        [0.0, 2.0]
    """

    def call(self, inputs, training=False):
        is_plain = 0 < self.rate < 1 and self.noise_shape is None
        if not training or not is_plain or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training)
        dropped = min(round(self.rate * 2**16), 2**16 - 1)  # out of 65,536
        num_elements = ops.size(inputs)
        # Two elements per draw. `view` needs a last axis of known size.
        shape = ((num_elements + 1) // 2, 1)
        draws = keras.random.randint(shape, -(2**31), 2**31 - 1, seed=self.seed_generator)
        bits = ops.reshape(ops.view(draws, "int16"), (-1,))[:num_elements]
        is_kept = ops.reshape(bits >= dropped - 2**15, ops.shape(inputs))
        # A product of floats is faster than a selection, in both passes.
        return inputs * (ops.cast(is_kept, inputs.dtype) * (2**16 / (2**16 - dropped)))
