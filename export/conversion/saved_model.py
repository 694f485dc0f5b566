"""Saving as a SavedModel."""

import tensorflow as tf


def save(module, folder):
    """Save a module with its `functions` as signatures.

    Raises:
        OSError: The folder cannot be written; TensorFlow raises an error of its own then.
    """
    try:
        tf.saved_model.save(module, str(folder), module.functions)
    except tf.errors.OpError as error:
        message = error.message.splitlines()[0]
        raise OSError(f"the SavedModel cannot be written to {folder}: {message}") from error
