"""Dropout that draws half the random bits of Keras's, which a CPU makes one by one."""

import keras
from keras import layers


class Dropout(layers.Dropout):
    """`keras.layers.Dropout` that draws 16 random bits an element under TensorFlow.

    Keras draws a float, 32 bits, and in bfloat16 rounds it to 8 before it compares. Both directions take
    about half as long (`benchmarks/bench_dropout.py`). Srivastava et al. 2014,
    https://jmlr.org/papers/v15/srivastava14a.html, with the scaling in training.

    Args:
        rate: Part of the elements that become 0, to the next 1/65,536.

    Example:
        >>> import numpy as np
        >>> from seq2lite.zoo.dropout import Dropout
        >>> np.unique(Dropout(0.5, seed=0)(np.ones((8, 8)), training=True)).tolist()
        [0.0, 2.0]
    """

    def call(self, inputs, training=False):
        if keras.backend.backend() != "tensorflow" or not training or self.rate == 0:
            return super().call(inputs, training)
        import tensorflow as tf

        dropped = min(round(self.rate * 2**16), 2**16 - 1)  # of 65,536
        shape, size = tf.shape(inputs), tf.size(inputs)
        # Four elements of each draw.
        bits = tf.random.stateless_uniform(
            [(size + 3) // 4],
            tf.cast(self.seed_generator.next(), tf.int64),
            minval=None,
            maxval=None,
            dtype=tf.int64,
        )
        bits = tf.reshape(tf.bitcast(bits, tf.int16), [-1])[:size]
        is_kept = tf.reshape(bits >= dropped - 2**15, shape)
        # A product of floats, forwards and backwards, is faster than a choice.
        return inputs * (tf.cast(is_kept, inputs.dtype) * (2**16 / (2**16 - dropped)))
