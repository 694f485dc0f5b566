"""Sampling from logits on the host, in NumPy."""

from numbers import Integral

import numpy as np

from .checks import is_number, require


def check_sampling(temperature, top_k, top_p, seed=None):
    """Raise ValueError unless the options are those of `HostSearch.sample`."""
    tiny, largest = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
    is_valid = is_number(temperature) and tiny <= temperature <= largest
    require(is_valid, f"a positive float32 number, at least {tiny:.4g}", temperature=temperature)
    is_valid = top_k is None or (is_number(top_k, Integral) and top_k > 0)
    require(is_valid, "a positive integer, or None", top_k=top_k)
    is_valid = top_p is None or (is_number(top_p) and 0 < top_p <= 1)
    require(is_valid, "a number in (0, 1], or None", top_p=top_p)
    is_valid = seed is None or (is_number(seed, Integral) and seed >= 0)
    require(is_valid, "a non-negative integer, or None", seed=seed)


def drawn(logits, draw, top_k, top_p):
    """Return ids `(batch,)` at which cumulative probabilities exceed the draws `(batch, 1)`."""
    order = None
    if top_k is not None or top_p is not None:
        # The most probable first, ties by index, as in `ops.top_k`.
        order = np.argsort(-logits, axis=-1, kind="stable")[:, :top_k]
        logits = np.take_along_axis(logits, order, axis=-1)
    probabilities = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    cumulative = probabilities.cumsum(axis=-1)
    is_candidate = np.ones_like(cumulative, bool)
    if top_p is not None:
        is_candidate = cumulative - probabilities < np.float32(top_p)
    total = np.where(is_candidate, cumulative, 0).max(axis=-1, keepdims=True)
    index = (cumulative <= draw * total).sum(axis=-1, keepdims=True)
    index = np.minimum(index, is_candidate.sum(axis=-1, keepdims=True) - 1)
    return (index if order is None else np.take_along_axis(order, index, axis=-1))[:, 0]
