"""Static and dynamic shapes."""

import keras
from keras import ops

# JAX traces loops with fixed shapes only: there a search makes all room before its loop.
STATIC_SHAPES = keras.backend.backend() == "jax"


def added(layer, input_shape):
    """Builds `layer` for `input_shape` at once, so that its weights exist before any call."""
    layer.build(input_shape)
    return layer


def first_length(source):
    """One, as a tensor whose value no tracer knows: the first length of a growing cache.

    A literal 1 would become a static shape, and a loop that grows the cache would not trace.
    """
    if STATIC_SHAPES:
        return 1
    return 1 + ops.sum(ops.cast(ops.less(source, 0), "int32"))
