"""The decoding loop that all searches share.

A search runs eagerly, in a tf.function, under JAX's jit, and in a TFLite file.
"""

from keras import ops

from ..lowering import current_lowering
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
    """Run `advance` until `continues` returns False or `max_length` steps are done.

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


def trimmed(tokens, lengths):
    """Drop the columns of `tokens (…, max_length)` that are padding in every row.

    The first column stays, because a TFLite runtime cannot return an empty tensor.
    """
    return tokens if STATIC_SHAPES else tokens[..., : ops.maximum(ops.max(lengths), 1)]


def one_at_a_time(model, source, max_length, prefix, constrain, choose):
    """Generate one token per step.

    `choose` maps logits `(batch, vocabulary_size)` and the number of the step to ids `(batch,)`.
    `prefix` is that of `checked_arguments`, and `constrain` that of `constraint`.
    """
    batch = ops.shape(source)[0]

    def continues(step, token, running, *_):
        return ops.greater(ops.max(running), 0)

    def advance(step, state, token, running, lengths, tokens):
        logits, state = model.step(token, state)
        if constrain is not None:
            logits = constrain(logits, tokens, step)
        token = choose(logits, step)
        if prefix is not None:
            forced = ops.take(prefix, step, axis=1)
            token = ops.where(ops.equal(forced, model.pad_id), token, forced)
        running = running * ops.cast(ops.not_equal(token, model.end_id), "int32")
        token = ops.where(ops.greater(running, 0), token, model.pad_id)
        tokens = ops.slice_update(tokens, [0, step], ops.expand_dims(token, 1))
        return state, (token, running, lengths + running, tokens)

    results = (
        ops.full((batch,), model.start_id, dtype="int32"),
        ops.ones((batch,), "int32"),  # 1 until a sentence has ended
        ops.zeros((batch,), "int32"),
        ops.full((batch, max_length), model.pad_id, dtype="int32"),
    )
    state = current_lowering().call(model.encode, source)
    *_, lengths, tokens = search_loop(model, source, state, max_length, continues, advance, results)
    return trimmed(tokens, lengths), lengths
