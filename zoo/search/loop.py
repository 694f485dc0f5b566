"""The decoding loop that all searches share, and checks of their arguments."""

from numbers import Integral

from keras import ops

from ..checks import is_number, require
from ..contract import Seq2Seq
from ..shapes import STATIC_SHAPES, dynamic_one

# Tokens for which room is made at a time. A runtime prepares every op of a step anew when a shape
# has changed, and copies the room at each step: measured, 8 to 16 are much alike, 4 is slower.
GROWTH = 12


def log_probabilities(logits):
    """`ops.log_softmax` in float32, by a softmax, which runtimes have in fast code."""
    logits = ops.cast(logits, "float32")
    # Of the greatest logit the probability is 1 / sum(exp(logits - greatest)).
    greatest = ops.max(logits, axis=-1, keepdims=True)
    return logits - greatest + ops.log(ops.max(ops.softmax(logits), axis=-1, keepdims=True))


def search_loop(model, source, state, max_length, goes_on, advance, found):
    """Runs `advance` until `goes_on` says no or `max_length` steps are done.

    Args:
        model: A `Seq2Seq`.
        source: int32 ids `(batch, source_length)`.
        state: The state that its `encode` gave of them.
        max_length: Most steps.
        goes_on: Takes the step and what was found; gives a bool scalar.
        advance: Takes the step, the state, and what was found; gives the next state and what is
            found then.
        found: Tuple of tensors.

    Returns:
        What was found, a tuple of tensors.
    """
    names, num_found = list(state), len(found)

    def condition(step, *rest):
        return ops.logical_and(ops.less(step, max_length), goes_on(step, *rest[:num_found]))

    def one_step(step, *rest):
        state = dict(zip(names, rest[num_found:], strict=True))
        state, found = advance(step, state, *rest[:num_found])
        return (step + 1, *found, *(state[name] for name in names))

    def growing_steps(step, *rest):
        state = model.grow(dict(zip(names, rest[num_found:], strict=True)), GROWTH)
        full = step + GROWTH
        return ops.while_loop(
            lambda step, *rest: ops.logical_and(ops.less(step, full), condition(step, *rest)),
            one_step,
            (step, *rest[:num_found], *(state[name] for name in names)),
        )

    if STATIC_SHAPES:
        state, body = model.grow(state, max_length), one_step
    else:
        # Room whose size no tracer knows: other turns of the loop come with another.
        state, body = model.grow(state, dynamic_one(source)), growing_steps
    start = (ops.convert_to_tensor(0, "int32"), *found, *(state[name] for name in names))
    return tuple(ops.while_loop(condition, body, start)[1 : 1 + num_found])


def full_prefix(model, prefix, batch, max_length):
    """A prefix padded to `(batch, max_length)`; None for none."""
    if prefix is None:
        return None
    prefix = ops.cast(prefix, "int32")
    what = "ids of shape (batch, prefix_length), a row for each source"
    require("prefix", prefix, what, lambda p: _fits(p, batch, None))
    length = ops.shape(prefix)[1]
    if isinstance(length, int) and is_number(max_length):
        what = f"no longer than max_length={max_length}"
        require("prefix", prefix, what, lambda p: length <= max_length)
    rest = ops.full((batch, max_length - length), model.pad_id, dtype="int32")
    return ops.concatenate([prefix, rest], axis=1)


def checked_source(model, source):
    """Casts `source` to the model's `source_spec`; raises ValueError if it has another shape."""
    require("model", model, "a zoo.Seq2Seq", lambda m: isinstance(m, Seq2Seq))
    spec = model.source_spec
    source = ops.cast(source, spec.dtype)
    what = "ids of shape (batch, source_length)"
    if spec.features is not None:
        what = f"features of shape (batch, source_length, {spec.features})"
    is_source = lambda s: _fits(s, *spec.shape()) and s.shape[0] != 0  # noqa: E731
    require("source", source, f"{what}, with at least one row", is_source)
    return source


def check_length(model, max_length):
    """Raises ValueError unless so many tokens can be said."""
    if not ops.is_tensor(max_length):
        what = "a positive integer, or an int32 scalar tensor"
        require("max_length", max_length, what, lambda n: is_number(n, Integral) and n > 0)
        if model.max_positions is not None:
            what = f"less than the model's max_positions={model.max_positions}"
            require("max_length", max_length, what, lambda n: n < model.max_positions)


def trimmed(tokens, lengths):
    """`tokens` `(…, max_length)` without what is padding in all rows.

    But the first column: a TFLite runtime cannot hand out an empty tensor.
    """
    return tokens if STATIC_SHAPES else tokens[..., : ops.maximum(ops.max(lengths), 1)]


def _fits(x, *shape):
    """Whether `x` is of the rank of `shape`, and of its sizes as far as they are known."""
    sizes = ops.shape(x)
    return len(sizes) == len(shape) and all(
        a == b for a, b in zip(sizes, shape, strict=True) if is_number(a) and is_number(b)
    )


def _start(model, like):
    return ops.full((ops.shape(like)[0], 1), model.start_id, dtype="int32")
