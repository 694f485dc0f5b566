"""Dropout that draws half the random bits of Keras's, which a CPU makes one by one."""

import keras
from keras import layers, ops


class Dropout(layers.Dropout):
    """`keras.layers.Dropout` that draws 16 random bits an element under TensorFlow.

    Keras draws a float, 32 bits, and in bfloat16 rounds it to 8 before it compares. Both directions take
    about half as long (`benchmarks/bench_dropout.py`). Srivastava et al. 2014,
    https://jmlr.org/papers/v15/srivastava14a.html, with the scaling in training.

    Args:
        rate: Part of the elements that become 0, to the next 1/65,536.

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
        dropped = min(round(self.rate * 2**16), 2**16 - 1)  # of 65,536
        num_elements = ops.size(inputs)
        # Two elements of each draw. Their last axis is known, for `view`.
        shape = ((num_elements + 1) // 2, 1)
        draws = keras.random.randint(shape, -(2**31), 2**31 - 1, seed=self.seed_generator)
        bits = ops.reshape(ops.view(draws, "int16"), (-1,))[:num_elements]
        is_kept = ops.reshape(bits >= dropped - 2**15, ops.shape(inputs))
        # A product of floats, forwards and backwards, is faster than a choice.
        return inputs * (ops.cast(is_kept, inputs.dtype) * (2**16 / (2**16 - dropped)))
