"""Sampling from the model's distribution."""

from collections.abc import Sequence
from math import inf
from numbers import Integral
from typing import TYPE_CHECKING

import keras
from keras import ops

from ..checks import has_shape, is_number, require
from ..shapes import Tensor
from .arguments import checked_arguments
from .constraints import constraint
from .loop import one_at_a_time

if TYPE_CHECKING:  # the model imports its searches
    from ..contract import Seq2Seq

MIN_TEMPERATURE = 2.0**-126  # the smallest normal float32; devices flush smaller numbers to zero


def sample(
    model: "Seq2Seq",
    source: Tensor,
    max_length: int | Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    draws: Tensor | None = None,
    prefix: Tensor | None = None,
    min_length: int = 0,
    no_repeat_ngram: int = 0,
    repetition_penalty: float = 1.0,
    banned_tokens: Sequence[int] = (),
) -> tuple[Tensor, Tensor]:
    """Sample each token from the model's distribution, until each sentence ends.

    Args:
        model: A `Seq2Seq`.
        source: Sources, as in `greedy_search`. Repeat a row for several samples of it.
        max_length: Maximum number of tokens to generate, as in `greedy_search`.
        temperature: Divisor of the logits, a positive number, default 1. Values below 1 favor
            probable tokens.
        top_k: Number of most probable tokens to sample from (Fan et al. 2018,
            https://arxiv.org/abs/1805.04833). Default: all.
        top_p: Sample from the smallest set of most probable tokens, after `top_k`, whose
            probabilities sum to at least this number in (0, 1] (Holtzman et al. 2020,
            https://arxiv.org/abs/1904.09751). Without `top_k` each step sorts the whole vocabulary.
            Default: all.
        seed: Seed of the random numbers. Default: a new seed for each call.
        draws: Uniform random numbers in [0, 1), float32 `(batch, max_length)`, one for each token,
            instead of `seed`. For graphs whose caller supplies the randomness.
        prefix: Ids that the targets must begin with, as in `greedy_search`.
        min_length, no_repeat_ngram, repetition_penalty, banned_tokens: Constraints, as in
            `greedy_search`. They change the logits before `temperature`.

    Returns:
        `tokens` and `lengths`, as in `greedy_search`.

    Raises:
        ValueError: An argument has another type or shape, or is out of its range.

    Example:
        >>> import numpy as np
        >>> from seq2lite import zoo
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50)
        >>> source = np.array([[5, 6, 3]] * 8)
        >>> tokens, lengths = zoo.sample(model, source, max_length=4, top_p=0.9, seed=1)
        >>> len(tokens)
        8
    """
    source, prefix = checked_arguments(model, source, max_length, prefix)
    constrain = constraint(
        model,
        max_length,
        min_length=min_length,
        no_repeat_ngram=no_repeat_ngram,
        repetition_penalty=repetition_penalty,
        banned_tokens=banned_tokens,
    )
    what = f"a positive float32 number, at least {MIN_TEMPERATURE:.4g}"
    is_valid = is_number(temperature) and MIN_TEMPERATURE <= temperature < inf
    require(is_valid, what, temperature=temperature)
    if top_k is not None:
        size = model.vocabulary_size
        what = f"an integer in [1, vocabulary_size={size}], or None"
        require(is_number(top_k, Integral) and 1 <= top_k <= size, what, top_k=top_k)
    if top_p is not None:
        require(is_number(top_p) and 0 < top_p <= 1, "a number in (0, 1], or None", top_p=top_p)
    if draws is None:
        draws = keras.random.uniform((ops.shape(source)[0], max_length), seed=seed)
    else:
        require(seed is None, "None where `draws` are given", seed=seed)
        draws = ops.cast(draws, "float32")
        what = "numbers of shape (batch, max_length)"
        require(has_shape(draws, ops.shape(source)[0], max_length), what, draws=draws)

    def choose(logits, step):
        draw = ops.expand_dims(ops.take(draws, step, axis=1), 1)
        logits = ops.cast(logits, "float32")
        # With a maximum of 0, a small temperature gives -inf, probability 0, never +inf.
        logits = (logits - ops.max(logits, axis=-1, keepdims=True)) / temperature
        return _drawn(logits, draw, top_k, top_p)

    return one_at_a_time(model, source, max_length, prefix, constrain, choose)


def _drawn(logits, draw, top_k, top_p):
    """Return ids `(batch,)` at which cumulative probabilities exceed the draws `(batch, 1)`."""
    size = logits.shape[-1]
    ids = ops.expand_dims(ops.arange(size, dtype="int32"), 0)
    if top_k is not None or top_p is not None:
        size = size if top_k is None else top_k
        logits, ids = ops.top_k(logits, size)
    probabilities = ops.softmax(logits)
    cumulative = ops.cumsum(probabilities, axis=-1)
    is_candidate = ops.ones_like(cumulative)
    if top_p is not None:
        # The most probable tokens, up to the one with which the sum reaches top_p.
        is_candidate = ops.cast(ops.less(cumulative - probabilities, top_p), "float32")
    total = ops.max(cumulative * is_candidate, axis=-1, keepdims=True)
    is_passed = ops.cast(ops.less_equal(cumulative, draw * total), "int32")
    num_candidates = ops.sum(ops.cast(is_candidate, "int32"), axis=-1, keepdims=True)
    chosen = ops.minimum(ops.sum(is_passed, axis=-1, keepdims=True), num_candidates - 1)
    is_chosen = ops.equal(ops.expand_dims(ops.arange(size, dtype="int32"), 0), chosen)
    return ops.sum(ops.where(is_chosen, ops.cast(ids, "int32"), 0), axis=-1)
