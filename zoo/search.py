"""Search over the contract: any model of the zoo, eagerly, in a tf.function or in a TFLite file.

Here are the loop that all searches share, greedy search, sampling, and the scores of given targets;
`beam.py` holds beam search.
"""

from math import inf
from numbers import Integral

import keras
from keras import ops

from .contract import STATIC_SHAPES, Seq2Seq, first_length, is_number, require

# Tokens for which room is made at a time. A runtime prepares every op of a step anew when a shape
# has changed, and copies the room at each step: measured, 8 to 16 are much alike, 4 is slower.
GROWTH = 12
LEAST_TEMPERATURE = 2.0**-126  # of float32's normal numbers; of a lesser one devices make zero


def likeliest(logits):
    """Ids `(batch,)` of the greatest logits `(batch, vocabulary_size)`, the first of equal ones.

    `ops.argmax` of floats tells -0 from 0 with an op that TFLite has not; of integers it need not.
    """
    greatest = ops.max(logits, axis=-1, keepdims=True)
    return ops.argmax(ops.cast(ops.greater_equal(logits, greatest), "int32"), axis=-1)


def log_probabilities(logits):
    """`ops.log_softmax` in float32, by a softmax, which runtimes have in fast code."""
    logits = ops.cast(logits, "float32")
    # Of the greatest logit the probability is 1 / sum(exp(logits - greatest)).
    greatest = ops.max(logits, axis=-1, keepdims=True)
    return logits - greatest + ops.log(ops.max(ops.softmax(logits), axis=-1, keepdims=True))


def greedy_search(
    model, source, max_length, *, prefix=None, choose=likeliest, return_attention=False
):
    """Takes the likeliest token at each step, until each sentence ends.

    Args:
        model: A `Seq2Seq`.
        source: int32 ids `(batch, source_length)`, each row ended by `end_id`, then padded.
        max_length: Most tokens to generate, an int or an int32 scalar tensor; under JAX an int.
        prefix: int32 ids `(batch, prefix_length)` that the targets must begin with, padded with
            `pad_id` at the end; no longer than `max_length`. Default: none.
        choose: Takes logits `(batch, vocabulary_size)`, gives ids `(batch,)` int32. `export` gives
            the one op of TFLite that does what `likeliest` does.
        return_attention: Also return the attention; the model must have one.

    Returns:
        `tokens`, int32 `(batch, length)`: the ids without start and end, padded with `pad_id`;
        `length` is that of the longest, or 1 if all are empty (under JAX `max_length`). `lengths`,
        int32 `(batch,)`. With `return_attention` also the weights `(batch, length + 1,
        source_length)` with which each token was chosen; the row after a sentence's last token
        chose its end.

    Raises:
        ValueError: An argument is not as above.

    Example:
        >>> import numpy as np
        >>> from seq2lite import zoo
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50)
        >>> tokens, lengths = zoo.greedy_search(model, np.array([[5, 6, 3]]), max_length=4)
        >>> tokens.shape[1] <= 4
        True
    """
    source = checked_source(model, source)
    check_length(model, max_length)
    model.require_attention(return_attention)
    tokens, lengths = _one_at_a_time(
        model, source, max_length, prefix, lambda logits, step: choose(logits)
    )
    if return_attention:
        return tokens, lengths, attention_of(model, source, tokens)
    return tokens, lengths


def sample(
    model,
    source,
    max_length,
    *,
    temperature=1.0,
    top_k=None,
    top_p=None,
    seed=None,
    draws=None,
    prefix=None,
):
    """Draws each token from the model's distribution, until each sentence ends.

    Args:
        model: A `Seq2Seq`.
        source: int32 ids `(batch, source_length)`, as in `greedy_search`; for several samples of a
            sentence, repeat it.
        max_length: Most tokens to generate, as in `greedy_search`.
        temperature: Divides the logits, a positive number: below 1 likely tokens become likelier.
        top_k: Draw among the so many likeliest tokens (Fan et al. 2018,
            https://arxiv.org/abs/1805.04833). Default: among all.
        top_p: Draw among the fewest tokens whose probabilities, after `top_k`, sum to this or more
            (Holtzman et al. 2020, https://arxiv.org/abs/1904.09751). Alone it sorts the vocabulary at
            each step; with a `top_k`, only those. Default: among all.
        seed: int: the same seed gives the same samples. Default: others at each call.
        draws: In the place of `seed`, uniform numbers in [0, 1), float32 `(batch, max_length)`: one
            decides one token. For a graph whose caller brings the randomness.
        prefix: As in `greedy_search`.

    Returns:
        `tokens` and `lengths`, as `greedy_search`.

    Raises:
        ValueError: An argument is not as above.

    Example:
        >>> import numpy as np
        >>> from seq2lite import zoo
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50)
        >>> source = np.array([[5, 6, 3]] * 8)
        >>> tokens, lengths = zoo.sample(model, source, max_length=4, top_p=0.9, seed=1)
        >>> len(tokens)
        8
    """
    source = checked_source(model, source)
    check_length(model, max_length)
    what = f"a positive number of float32, {LEAST_TEMPERATURE:.4g} or more"
    require(
        "temperature", temperature, what, lambda t: is_number(t) and LEAST_TEMPERATURE <= t < inf
    )
    if top_k is not None:
        size = model.vocabulary_size
        require(
            "top_k",
            top_k,
            f"an integer in [1, vocabulary_size={size}], or None",
            lambda k: is_number(k, Integral) and 1 <= k <= size,
        )
    if top_p is not None:
        what = "a number in (0, 1], or None"
        require("top_p", top_p, what, lambda p: is_number(p) and 0 < p <= 1)
    if draws is None:
        draws = keras.random.uniform((ops.shape(source)[0], max_length), seed=seed)
    else:
        require("seed", seed, "None where `draws` are given", lambda s: s is None)
        draws = ops.cast(draws, "float32")
        what = "numbers of shape (batch, max_length)"
        require("draws", draws, what, lambda d: _fits(d, ops.shape(source)[0], max_length))

    def choose(logits, step):
        draw = ops.expand_dims(ops.take(draws, step, axis=1), 1)
        logits = ops.cast(logits, "float32")
        # The greatest is 0 then, and what a small temperature makes infinite is impossible.
        logits = (logits - ops.max(logits, axis=-1, keepdims=True)) / temperature
        return _drawn(logits, draw, top_k, top_p)

    return _one_at_a_time(model, source, max_length, prefix, choose)


def score(model, source, target):
    """Log-probabilities of given targets, by one call for all tokens (teacher forcing).

    Args:
        model: A `Seq2Seq`.
        source: int32 ids `(batch, source_length)`, each row ended by `end_id`, then padded.
        target: int32 ids `(batch, target_length)` without start, each row ended by `end_id` (or
            cut, if its end is not to count), then padded.

    Returns:
        float32 `(batch,)`, the natural logarithm of each target's probability, and float32
        `(batch, target_length)`, that of each of its tokens, zero at padding.

    Raises:
        ValueError: Source or target is not of rank 2.

    Example:
        >>> import numpy as np
        >>> from seq2lite import zoo
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50)
        >>> total, each = zoo.score(model, np.array([[5, 6, 3]]), np.array([[7, 8, 3]]))
        >>> tuple(each.shape)
        (1, 3)
    """
    source = checked_source(model, source)
    target = ops.cast(target, "int32")
    what = "ids of shape (batch, target_length), a row for each source"
    require("target", target, what, lambda t: _fits(t, ops.shape(source)[0], None))
    given = ops.concatenate([_start(model, target), target[:, :-1]], axis=1)
    logits = model({"source": source, "target": given}, training=False)
    each = ops.log_softmax(ops.cast(logits, "float32"))
    each = ops.take_along_axis(each, ops.expand_dims(target, 2), axis=2)[:, :, 0]
    each = ops.where(ops.equal(target, model.pad_id), 0.0, each)
    return ops.sum(each, axis=1), each


def attention_of(model, source, tokens):
    """The weights `(batch, length + 1, source_length)` with which found tokens were chosen.

    By teacher forcing, to which stepwise decoding is equal: a search need not carry them along.
    """
    target = ops.concatenate([_start(model, tokens), tokens], axis=1)
    inputs = {"source": source, "target": target}
    return ops.stop_gradient(model(inputs, training=False, return_attention=True)[1])


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
        state, body = model.grow(state, first_length(source)), growing_steps
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
    """`source` as int32. Raises ValueError where it or the model is none."""
    require("model", model, "a zoo.Seq2Seq", lambda m: isinstance(m, Seq2Seq))
    source = ops.cast(source, "int32")
    what = "ids of shape (batch, source_length), of one row or more"
    require("source", source, what, lambda s: len(s.shape) == 2 and s.shape[0] != 0)
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


def _one_at_a_time(model, source, max_length, prefix, choose):
    """`greedy_search` where `choose` takes logits `(batch, vocabulary_size)` and the step."""
    batch = ops.shape(source)[0]
    prefix = full_prefix(model, prefix, batch, max_length)

    def goes_on(step, token, running, *_):
        return ops.greater(ops.max(running), 0)

    def advance(step, state, token, running, lengths, tokens):
        logits, state = model.step(token, state)
        token = choose(logits, step)
        if prefix is not None:
            forced = ops.take(prefix, step, axis=1)
            token = ops.where(ops.equal(forced, model.pad_id), token, forced)
        running = running * ops.cast(ops.not_equal(token, model.end_id), "int32")
        token = ops.where(ops.greater(running, 0), token, model.pad_id)
        tokens = ops.slice_update(tokens, [0, step], ops.expand_dims(token, 1))
        return state, (token, running, lengths + running, tokens)

    found = (
        ops.full((batch,), model.start_id, dtype="int32"),
        ops.ones((batch,), "int32"),  # 1 while a sentence goes on
        ops.zeros((batch,), "int32"),
        ops.full((batch, max_length), model.pad_id, dtype="int32"),
    )
    *_, lengths, tokens = search_loop(
        model, source, model.encode(source), max_length, goes_on, advance, found
    )
    return trimmed(tokens, lengths), lengths


def _drawn(logits, draw, top_k, top_p):
    """Ids `(batch,)`: where the cumulated probabilities pass the draws `(batch, 1)`."""
    size = logits.shape[-1]
    ids = ops.expand_dims(ops.arange(size, dtype="int32"), 0)
    if top_k is not None or top_p is not None:
        size = size if top_k is None else top_k
        logits, ids = ops.top_k(logits, size)
    probabilities = ops.softmax(logits)
    cumulated = ops.cumsum(probabilities, axis=-1)
    among = ops.ones_like(cumulated)
    if top_p is not None:
        # The likeliest ones, up to that with which the sum reaches top_p.
        among = ops.cast(ops.less(cumulated - probabilities, top_p), "float32")
    total = ops.max(cumulated * among, axis=-1, keepdims=True)
    passed = ops.cast(ops.less_equal(cumulated, draw * total), "int32")
    num_among = ops.sum(ops.cast(among, "int32"), axis=-1, keepdims=True)
    place = ops.minimum(ops.sum(passed, axis=-1, keepdims=True), num_among - 1)
    is_place = ops.equal(ops.expand_dims(ops.arange(size, dtype="int32"), 0), place)
    return ops.sum(ops.where(is_place, ops.cast(ids, "int32"), 0), axis=-1)
