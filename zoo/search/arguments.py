"""Checks of the arguments that all searches share."""

from numbers import Integral

import numpy as np
from keras import ops

from ..checks import has_shape, is_number, require
from ..contract import Seq2Seq


def checked_source(model, source):
    """Cast `source` to the model's `source_spec`; raise ValueError if it has another shape."""
    require(isinstance(model, Seq2Seq), "a zoo.Seq2Seq", model=model)
    spec = model.source_spec
    what, size = "ids of shape (batch, source_length)", model.source_vocabulary_size
    if spec.features is not None:
        what, size = f"features of shape (batch, source_length, {spec.features})", None
    what += ", with at least one row"
    source = as_tensor("source", source, spec.dtype, what, size)
    is_source = has_shape(source, *spec.shape()) and source.shape[0] != 0
    require(is_source, what, source=source)
    return source


def as_tensor(option, value, dtype, expected, size=None):
    """Cast an argument; raise ValueError if it is no array of numbers, or of ids below `size`.

    The values of a tensor are not checked: in a graph they are unknown.
    """
    if not ops.is_tensor(value):
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.array("rows of different lengths")
        is_array = array.dtype.kind not in "OSU"
        require(is_array, f"{expected}, padded to one length", **{option: value})
        if size is not None and array.size:
            for found in (array.min().item(), array.max().item()):
                require(0 <= found < size, f"ids in [0, {size})", **{option: found})
    return ops.cast(value, dtype)


def checked_arguments(model, source, max_length, prefix):
    """Check source, maximum length and prefix of a search.

    Returns:
        `source` in the dtype of `source_spec`, and `prefix` padded to `(batch, max_length)`, or None
        without a prefix.

    Raises:
        ValueError: An argument has another type or shape, or the model cannot generate `max_length`
            tokens.
    """
    source = checked_source(model, source)
    if not ops.is_tensor(max_length):
        what = "a positive integer, or an int32 scalar tensor"
        require(is_number(max_length, Integral) and max_length > 0, what, max_length=max_length)
        if model.max_positions is not None:
            what = f"less than the model's max_positions={model.max_positions}"
            require(max_length < model.max_positions, what, max_length=max_length)
    if prefix is None:
        return source, None
    batch = ops.shape(source)[0]
    what = "ids of shape (batch, prefix_length), a row for each source"
    prefix = as_tensor("prefix", prefix, "int32", what, model.vocabulary_size)
    require(has_shape(prefix, batch, None), what, prefix=prefix)
    length = ops.shape(prefix)[1]
    if isinstance(length, int) and is_number(max_length):
        require(length <= max_length, f"at most max_length={max_length} long", prefix=prefix)
    rest = ops.full((batch, max_length - length), model.pad_id, dtype="int32")
    return source, ops.concatenate([prefix, rest], axis=1)
