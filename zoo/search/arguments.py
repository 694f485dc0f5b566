"""Checks of the arguments that all searches share."""

import math
import warnings
from numbers import Integral

import numpy as np
from keras import ops

from seq2lite.export.runtime import checks, host_decoding

from ..checks import as_tensor, has_shape, is_number, known_values, require
from ..inputs import source_tensor
from ..source_spec import SourceSpec


def checked_source(model, source):
    """Cast `source` to the model's `source_spec`; raise ValueError if it has another shape."""
    is_model = isinstance(getattr(model, "source_spec", None), SourceSpec)
    require(is_model, "a zoo.Seq2Seq", model=model)
    source = source_tensor(model, source)
    require(source.shape[0] != 0, "of at least one row", source=source)
    if model.source_spec.features is None:
        _warn_of_missing_ends(model, known_values(source))
    return source


def _warn_of_missing_ends(model, source):
    """Warn if a sentence does not end with `end_id`: most models then generate it twice."""
    if source is None:
        return
    lengths = (source != model.pad_id).sum(axis=1)
    last = source[np.arange(len(source)), np.maximum(lengths - 1, 0)]
    missing = np.flatnonzero((last != model.end_id) & (lengths > 0))
    if len(missing):
        warnings.warn(
            f"each row of `source` must end with end_id={model.end_id}, then be padded with "
            f"pad_id={model.pad_id}, as in training. Received: {len(missing)} of {len(source)} rows "
            f"without it, the first is row {missing[0]}. model.generate(texts) appends it",
            stacklevel=checks.level_of_caller(),
        )


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
    require_no_start("prefix", prefix, model)
    length = ops.shape(prefix)[1]
    if isinstance(length, int) and is_number(max_length):
        require(length <= max_length, f"at most max_length={max_length} long", prefix=prefix)
    rest = ops.full((batch, max_length - length), model.pad_id, dtype="int32")
    return source, ops.concatenate([prefix, rest], axis=1)


def require_no_start(option, ids, model):
    """Raise ValueError if a row of ids begins with the start, which a search adds itself.

    Tensors in a graph have no values and are not checked.
    """
    ids = known_values(ids)
    if ids is not None:
        checks.require_no_start(option, ids, model.start_id, model.end_id, model.pad_id)


def check_beams(model, num_beams, num_hypotheses, length_penalty, coverage_penalty):
    """Raise ValueError if an option of beam search is invalid."""
    host_decoding.check_beams(num_beams, num_hypotheses, length_penalty)
    what = "a finite, non-negative number"
    is_valid = is_number(coverage_penalty) and 0 <= coverage_penalty < math.inf
    require(is_valid, what, coverage_penalty=coverage_penalty)
    what = f"0 for a model without attention, such as {model.name!r}"
    require(model.has_attention or coverage_penalty == 0, what, coverage_penalty=coverage_penalty)
