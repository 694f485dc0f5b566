"""Sampling from the model's distribution."""

from math import inf
from numbers import Integral

import keras
from keras import ops

from ..checks import is_number, require
from .greedy import _one_at_a_time
from .loop import _fits, check_length, checked_source

LEAST_TEMPERATURE = 2.0**-126  # of float32's normal numbers; of a lesser one devices make zero


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
