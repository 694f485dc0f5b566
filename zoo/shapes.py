"""Static and dynamic shapes."""

import math
from typing import Any

import keras
from keras import ops

Tensor = Any  # of the active backend, or anything that converts to one

# JAX traces loops with fixed shapes only: there a search allocates all slots before its loop.
STATIC_SHAPES = keras.backend.backend() == "jax"


def built(layer, input_shape):
    """Build `layer` and return it, so that its weights exist before any call."""
    layer.build(input_shape)
    return layer


def dense(units, dim, name, **options):
    """Return a built Dense layer of inputs `(rows, dim)`."""
    return built(keras.layers.Dense(units, name=name, **options), (None, dim))


def dynamic_one(source):
    """Return 1 as a tensor whose value is known at run time only: a cache's first length.

    A literal 1 would become a static shape, and a loop that grows the cache would not trace.

    Args:
        source: int32 or float32, any shape; the tensor compares it with a value below all of these.
    """
    if STATIC_SHAPES:
        return 1
    is_float = keras.backend.is_float_dtype(source.dtype)
    minimum = -math.inf if is_float else -(2**31)
    return 1 + ops.sum(ops.cast(ops.less(source, minimum), "int32"))
