"""Differences between the Keras backends."""

import keras

IS_JAX = keras.backend.backend() == "jax"

# Without XLA, JAX runs op by op. TensorFlow has graphs of any shape; XLA compiles each shape.
JIT_COMPILE = IS_JAX


def can_export() -> bool:
    """Return whether this process can export models, which requires TensorFlow."""
    return keras.backend.backend() == "tensorflow"
