"""Beam search and sampling on the host, in NumPy."""

import math
from collections.abc import Callable
from numbers import Integral

import numpy as np

from .checks import is_number, require, require_positive

# Log-probability of impossible targets, as in `zoo.beam_search`.
IMPOSSIBLE = np.float32(-1e9)


def check_beams(num_beams: int, num_hypotheses: int, length_penalty: float) -> None:
    """Raise ValueError unless the arguments are those of `HostSearch.beam`."""
    is_valid = is_number(num_beams, Integral) and num_beams > 0
    require(is_valid, "a positive integer; 1 is greedy search", num_beams=num_beams)
    require_positive(num_hypotheses=num_hypotheses)
    expected = f"at most num_beams={num_beams}"
    require(num_hypotheses <= num_beams, expected, num_hypotheses=num_hypotheses)
    is_valid = is_number(length_penalty) and math.isfinite(length_penalty)
    require(is_valid, "a finite number", length_penalty=length_penalty)


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


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the log-softmax of logits `(rows, vocabulary_size)` in float32."""
    logits = logits.astype(np.float32)
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def beam_search(
    state: dict,
    advance: Callable,
    constrain: Callable,
    batch: int,
    max_length: int,
    *,
    num_beams: int,
    num_hypotheses: int,
    length_penalty: float,
    start_id: int,
    end_id: int,
    pad_id: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep the most probable hypotheses at each step, as `zoo.beam_search` does.

    Args:
        state: The state that `encode` returned, a row for each sentence.
        advance: Function of tokens `(rows,)` and the state that returns logits and the next state.
            Entries that a step does not change are the same objects in both.
        constrain: Function of log-probabilities `(rows, vocabulary_size)` and the tokens so far, start
            included, `(rows, length)`. It returns the log-probabilities under constraints.
        batch: Number of sentences.
        max_length: Maximum number of tokens of a target, its end included.
        num_beams: Beam size.
        num_hypotheses: Number of targets to return for each sentence.
        length_penalty: Exponent of the length penalty.
        start_id: Id that begins a target.
        end_id: Id that ends a target.
        pad_id: Id that fills the rest of a target.

    Returns:
        `tokens (batch, num_hypotheses, length)`, `lengths` and `scores (batch, num_hypotheses)`.
    """

    def penalty(length):
        return (np.float32(5 + length) / np.float32(6)) ** np.float32(length_penalty)

    state = {name: np.repeat(np.asarray(x), num_beams, axis=0) for name, x in state.items()}
    constant = set(
        state
    )  # entries that no step has changed: equal for all hypotheses of a sentence
    sentence = np.arange(batch)[:, None]
    # The start, then the tokens of each hypothesis.
    tokens = np.full((batch, num_beams, 1 + max_length), pad_id, np.int32)
    tokens[:, :, 0] = start_id
    total = np.full((batch, num_beams), IMPOSSIBLE)
    total[:, 0] = 0
    best_scores = np.full((batch, num_hypotheses), 2 * IMPOSSIBLE)
    best_tokens = np.full((batch, num_hypotheses, 1 + max_length), pad_id, np.int32)
    lengths = np.zeros((batch, num_hypotheses), np.int32)
    for step in range(max_length):
        # Log-probabilities only decrease, and the largest divisor gives the best possible score.
        longest = max_length if length_penalty >= 0 else step + 1
        if not (best_scores[:, -1] < total.max(axis=1) / penalty(longest)).any():
            break
        history = tokens[:, :, : step + 1].reshape(-1, step + 1)
        logits, after = advance(history[:, -1], state)
        each = np.maximum(constrain(log_probabilities(logits), history), IMPOSSIBLE)
        size = each.shape[1]

        # The candidates of all hypotheses of a sentence; at most half of them end.
        each = total[:, :, None] + each.reshape(batch, num_beams, size)
        total, index = _top_k(each.reshape(batch, -1), 2 * num_beams)
        beam, token = index // size, index % size
        ends = token == end_id
        candidates = tokens[sentence, beam]
        candidates[:, :, step + 1] = np.where(ends, pad_id, token)

        # Among the first num_beams candidates, those that end, or reach max_length, are complete.
        is_complete = (ends | (step + 1 == max_length)) & (total > IMPOSSIBLE / 2)
        is_complete[:, num_beams:] = False
        scores = np.where(is_complete, total / penalty(step + 1), 2 * IMPOSSIBLE)
        best_scores, best = _top_k(np.concatenate([best_scores, scores], axis=1), num_hypotheses)
        best_tokens = np.concatenate([best_tokens, candidates], axis=1)[sentence, best]
        lengths = np.concatenate([lengths, step + 1 - ends], axis=1)[sentence, best]

        # The best candidates that have not ended stay active.
        total, active = _top_k(np.where(ends, 2 * IMPOSSIBLE, total), num_beams)
        tokens = candidates[sentence, active]
        rows = (sentence * num_beams + beam[sentence, active]).ravel()
        constant = {name for name in constant if after[name] is state[name]}
        state = {name: x if name in constant else np.asarray(x)[rows] for name, x in after.items()}
    tokens = best_tokens[:, :, 1 : 1 + max(1, lengths.max())]
    return tokens, lengths.astype(np.int32), best_scores


def _top_k(x, k):
    """Return the largest `k` numbers of each row and their indices, ties by index."""
    smallest = np.partition(x, x.shape[1] - k, axis=1)[:, -k, None]
    rows = []
    for row, is_smaller in zip(x, x < smallest, strict=True):
        found = np.flatnonzero(~is_smaller)
        rows.append(found[np.argsort(-row[found], kind="stable")[:k]])
    index = np.stack(rows)
    return np.take_along_axis(x, index, axis=1), index
