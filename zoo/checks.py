"""Checks of arguments, with one form of message."""

from numbers import Integral

import keras
import numpy as np
from keras import ops

from seq2lite.export.runtime.checks import is_number, require


def require_sizes(**sizes):
    """Raise ValueError unless each is a positive integer."""
    for option, value in sizes.items():
        require(is_positive_integer(value), "a positive int", **{option: value})


def require_one_of(option, value, choices):
    """Raise ValueError unless `value` is one of `choices`."""
    require(value in tuple(choices), f"one of {tuple(choices)}", **{option: value})


def require_fields(options, *, sizes, flags, choices):
    """Raise ValueError unless the fields of a family's options, and its `dropout`, are valid.

    Args:
        options: The options.
        sizes: Names of fields that are positive integers.
        flags: Names of fields that are True or False.
        choices: dict of name of a field to its allowed values.
    """
    require_sizes(**{name: getattr(options, name) for name in sizes})
    for name in flags:
        value = getattr(options, name)
        require(isinstance(value, bool), "True or False", **{name: value})
    for name, allowed in choices.items():
        require_one_of(name, getattr(options, name), allowed)
    rate = options.dropout
    require(is_number(rate) and 0 <= rate < 1, "a number in [0, 1)", dropout=rate)


def layer_pair(num_layers):
    """Return `num_layers` as (encoder, decoder): one integer stands for both."""
    pair = num_layers if isinstance(num_layers, (tuple, list)) else (num_layers, num_layers)
    is_valid = len(pair) == 2 and all(map(is_positive_integer, pair))
    require(is_valid, "a positive int or a pair (encoder, decoder) of them", num_layers=num_layers)
    return plain(tuple(pair))


def has_shape(x, *shape):
    """Return whether a tensor has the rank of `shape` and its sizes, as far as they are static."""
    sizes = ops.shape(x)
    return len(sizes) == len(shape) and all(
        a == b for a, b in zip(sizes, shape, strict=True) if is_number(a) and is_number(b)
    )


def as_tensor(option, value, dtype, expected, size=None):
    """Cast an argument; raise ValueError if it is no array of numbers, or of ids below `size`.

    The values of a tensor in a graph are unknown and not checked.
    """
    check_array(option, value, expected, size)
    return ops.cast(value, dtype)


def check_array(option, value, expected, size=None):
    """Raise ValueError as `as_tensor` does."""
    if ops.is_tensor(value):
        is_array = keras.backend.standardize_dtype(value.dtype) != "string"
        array = known_values(value) if is_array and size is not None else None
    else:
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.array("rows of different lengths")
        is_array = array.dtype.kind not in "OSU"
    hint = f"{expected}, padded to one length; text is for model.generate"
    require(is_array, hint, **{option: value})
    if size is not None and array is not None and array.size:
        for found in (array.min().item(), array.max().item()):
            require(0 <= found < size, f"ids in [0, {size})", **{option: found})


def known_values(tensor):
    """Return the values of a tensor as an array, or None in a graph, where they are unknown."""
    try:
        return ops.convert_to_numpy(tensor)
    except (NotImplementedError, TypeError, ValueError):  # TensorFlow, JAX, Keras
        return None


def is_positive_integer(value):
    """Return whether `value` is an integer of 1 or more."""
    return is_number(value, Integral) and value > 0


def plain(value):
    """Replace NumPy numbers by Python's, also inside a dict, tuple or list."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(plain(item) for item in value)
    if is_number(value, Integral):
        return int(value)
    return float(value) if is_number(value) else value
