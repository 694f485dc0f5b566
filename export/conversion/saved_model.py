"""Writing a SavedModel."""

import tensorflow as tf


def save(module, folder):
    """Saves a module with its `functions` as signatures.

    Raises OSError where TensorFlow has an error of its own.
    """
    try:
        tf.saved_model.save(module, str(folder), module.functions)
    except tf.errors.OpError as error:
        message = error.message.splitlines()[0]
        raise OSError(f"the SavedModel cannot be written to {folder}: {message}") from error
