"""Models that compute in float32."""

import keras


def in_float32(model):
    """The model itself, or one with its weights that computes in float32.

    TFLite's products are of float32 (or of integers), whatever precision a model was trained in.
    """
    return model if model.compute_dtype == "float32" else float32_twin(model)


def float32_twin(model):
    """Another model with the weights of this one, that computes in float32."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        twin = type(model).from_config(model.get_config())
    finally:
        keras.config.set_dtype_policy(policy)
    twin.set_weights(model.get_weights())
    return twin
