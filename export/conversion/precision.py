"""Models in float32, whatever compute dtype they were trained with."""

import keras


def in_float32(model):
    """Return the model itself if it computes in float32, otherwise `float32_twin` of it.

    TFLite multiplies in float32 or in integers.
    """
    return model if model.compute_dtype == "float32" else float32_twin(model)


def float32_twin(model):
    """Return a model with the same weights that computes in float32."""
    # Which layers are frozen does not matter, and layers without names have other paths in the twin.
    config = {k: v for k, v in model.get_config().items() if k != "frozen_layers"}
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        twin = type(model).from_config(config)
    finally:
        keras.config.set_dtype_policy(policy)
    twin.set_weights(model.get_weights())
    twin.text = model.text
    return twin
