"""Constraints on the tokens of a target, for tensors; `export.runtime.constraints` is the NumPy form."""

from math import inf

import numpy as np
from keras import ops

from seq2lite.export.runtime.constraints import Constraints

from ..checks import is_number


def constraint(model, max_length, **options):
    """Return the constraints of a search as a function.

    Args:
        model: The model.
        max_length: Maximum number of tokens, an int or a tensor.
        **options: The arguments of `Constraints`.

    Returns:
        Function of the scores of the next token `(rows, vocabulary_size)`, the tokens so far `(rows,
        max_length)` and their number, `step`. It returns the scores under the constraints, in
        float32. None without constraints: a search then adds no op to its graph.

    Raises:
        ValueError: A constraint is out of its range.
    """
    constraints = Constraints(**options)
    size = model.vocabulary_size
    constraints.check(max_length if is_number(max_length) else None, size, model.end_id)
    if not constraints:
        return None
    penalty, n = float(constraints.repetition_penalty), int(constraints.no_repeat_ngram)
    min_length = int(constraints.min_length)
    is_banned = np.isin(np.arange(size), constraints.banned_tokens)[None]
    is_end = (np.arange(size) == model.end_id)[None]

    def constrain(scores, tokens, step):
        scores = ops.cast(scores, "float32")
        if penalty != 1 or n:
            start = ops.full((ops.shape(tokens)[0], 1), model.start_id, dtype="int32")
            history = ops.concatenate([start, tokens], axis=1)
            position = ops.expand_dims(ops.arange(ops.shape(history)[1], dtype="int32"), 0)
            is_past = ops.broadcast_to(ops.less_equal(position, step), ops.shape(history))
        if penalty != 1:
            penalized = ops.where(ops.less(scores, 0), scores * penalty, scores / penalty)
            scores = ops.where(_marked(history, is_past, size), penalized, scores)
        if n:
            repeats = _repeats(history, is_past, position, step, n)
            scores = ops.where(_marked(history, repeats, size), -inf, scores)
        if is_banned.any():
            scores = ops.where(is_banned, -inf, scores)
        if min_length:
            is_early = ops.logical_and(is_end, ops.less(step, min_length))
            scores = ops.where(is_early, -inf, scores)
        return scores

    return constrain


def _repeats(history, is_past, position, step, n):
    """Return where in `history` a token would complete an n-gram a second time if it came next."""
    repeats = ops.logical_and(is_past, ops.greater_equal(position, n - 1))
    for back in range(1, n):
        # The token `back` places before the next one, and before each earlier one.
        last = ops.take(history, ops.maximum(step + 1 - back, 0), axis=1)
        is_equal = ops.equal(ops.roll(history, back, axis=1), ops.expand_dims(last, 1))
        repeats = ops.logical_and(repeats, is_equal)
    return repeats


def _marked(ids, marks, size):
    """Return bool `(rows, size)`: True at the ids `(rows, n)` that are marked."""
    rows = ops.shape(ids)[0]
    index = ops.expand_dims(ops.arange(rows, dtype="int32") * size, 1) + ids
    count = ops.segment_sum(
        ops.reshape(ops.cast(marks, "float32"), (-1,)), ops.reshape(index, (-1,)), rows * size
    )
    return ops.greater(ops.reshape(count, (-1, size)), 0)
