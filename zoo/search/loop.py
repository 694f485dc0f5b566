"""The decoding loop that all searches share, and checks of their arguments.

A search runs eagerly, in a tf.function, under JAX's jit, and in a TFLite file.
"""

from numbers import Integral

from keras import ops

from ..checks import is_number, require
from ..contract import Seq2Seq
from ..shapes import STATIC_SHAPES, dynamic_one

# Steps between growths of the KV cache. A runtime prepares every op of a step again when a shape has
# changed, and copies the recent part of the cache at each step. In measurements 8 to 16 are equally
# fast and 4 is slower (benchmarks/bench_generate.py).
GROWTH = 12


def log_probabilities(logits):
    """`ops.log_softmax` in float32, computed by a softmax, for which runtimes have fast kernels."""
    logits = ops.cast(logits, "float32")
    # The largest logit has the probability 1 / sum(exp(logits - largest)).
    largest = ops.max(logits, axis=-1, keepdims=True)
    return logits - largest + ops.log(ops.max(ops.softmax(logits), axis=-1, keepdims=True))


def search_loop(model, source, state, max_length, continues, advance, results):
    """Runs `advance` until `continues` returns False or `max_length` steps are done.

    Args:
        model: A `Seq2Seq`.
        source: Sources `(batch, source_length)` or `(batch, source_length, features)`.
        state: The state that `model.encode(source)` returned.
        max_length: Maximum number of steps.
        continues: Function of the number of the step and the results that returns a bool scalar.
        advance: Function of the number of the step, the state and the results that returns the next
            state and the next results.
        results: Tuple of tensors, the initial results.

    Returns:
        The final results, a tuple of tensors.
    """
    names, num_results = list(state), len(results)

    def condition(step, *rest):
        return ops.logical_and(ops.less(step, max_length), continues(step, *rest[:num_results]))

    def one_step(step, *rest):
        state = dict(zip(names, rest[num_results:], strict=True))
        state, results = advance(step, state, *rest[:num_results])
        return (step + 1, *results, *(state[name] for name in names))

    def growing_steps(step, *rest):
        state = model.grow(dict(zip(names, rest[num_results:], strict=True)), GROWTH)
        full = step + GROWTH
        return ops.while_loop(
            lambda step, *rest: ops.logical_and(ops.less(step, full), condition(step, *rest)),
            one_step,
            (step, *rest[:num_results], *(state[name] for name in names)),
        )

    if STATIC_SHAPES:
        state, body = model.grow(state, max_length), one_step
    else:
        # A dynamic size, because the cache of later iterations has another size.
        state, body = model.grow(state, dynamic_one(source)), growing_steps
    start = (ops.convert_to_tensor(0, "int32"), *results, *(state[name] for name in names))
    return tuple(ops.while_loop(condition, body, start)[1 : 1 + num_results])


def full_prefix(model, prefix, batch, max_length):
    """Returns a prefix padded to `(batch, max_length)`, or None without a prefix."""
    if prefix is None:
        return None
    prefix = ops.cast(prefix, "int32")
    what = "ids of shape (batch, prefix_length), a row for each source"
    require("prefix", prefix, what, lambda p: has_shape(p, batch, None))
    length = ops.shape(prefix)[1]
    if isinstance(length, int) and is_number(max_length):
        what = f"at most max_length={max_length} long"
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
    is_source = lambda s: has_shape(s, *spec.shape()) and s.shape[0] != 0  # noqa: E731
    require("source", source, f"{what}, with at least one row", is_source)
    return source


def check_length(model, max_length):
    """Raises ValueError unless the model can generate `max_length` tokens."""
    if not ops.is_tensor(max_length):
        what = "a positive integer, or an int32 scalar tensor"
        require("max_length", max_length, what, lambda n: is_number(n, Integral) and n > 0)
        if model.max_positions is not None:
            what = f"less than the model's max_positions={model.max_positions}"
            require("max_length", max_length, what, lambda n: n < model.max_positions)


def trimmed(tokens, lengths):
    """Drops the columns of `tokens (…, max_length)` that are padding in every row.

    The first column stays, because a TFLite runtime cannot return an empty tensor.
    """
    return tokens if STATIC_SHAPES else tokens[..., : ops.maximum(ops.max(lengths), 1)]


def has_shape(x, *shape):
    """Returns whether `x` has the rank of `shape` and its sizes, as far as they are static."""
    sizes = ops.shape(x)
    return len(sizes) == len(shape) and all(
        a == b for a, b in zip(sizes, shape, strict=True) if is_number(a) and is_number(b)
    )


def start_tokens(model, like):
    """Returns the start id of each row of `like`, int32 `(batch, 1)`."""
    return ops.full((ops.shape(like)[0], 1), model.start_id, dtype="int32")
