"""Beam search, with the length and coverage penalties of Wu et al. 2016."""

import math

from keras import ops

from ..checks import is_number, require, require_sizes
from .loop import check_length, checked_source, full_prefix, log_probabilities, search_loop, trimmed
from .scoring import attention_of

# The log-probability of what cannot be: far below any sentence's, far above float32's least.
IMPOSSIBLE = -1e9


LEAST_COVERAGE = 1e-6  # below it the logarithm says nothing more


def beam_search(
    model,
    source,
    max_length,
    *,
    num_beams=4,
    num_hypotheses=1,
    length_penalty=0.6,
    coverage_penalty=0.0,
    prefix=None,
    return_attention=False,
):
    """Follows the `num_beams` likeliest beginnings at each step, and gives the best whole targets.

    A target Y is ranked by Wu et al. 2016, https://arxiv.org/abs/1609.08144, equation 14::

        score(Y) = log P(Y | X) / lp(Y) + cp(Y)
        lp(Y) = ((5 + |Y|) / 6) ** length_penalty
        cp(Y) = coverage_penalty * sum over source tokens of log(min(attention paid to it, 1))

    |Y| counts the tokens and the end. A target that has not ended after `max_length` tokens is ranked
    as it is. A sentence is done when no beam that is still followed can become better than the
    worst of its hypotheses, at the best length it may still reach: an early stop that changes no
    result. (Whether a better target was left out of the beams no such search knows.)

    Args:
        model: A `Seq2Seq`.
        source: int32 ids `(batch, source_length)`, each row ended by `end_id`, then padded.
        max_length: Most tokens of a target, its end among them; an int or an int32 scalar tensor,
            under JAX an int.
        num_beams: Beginnings that are followed.
        num_hypotheses: Targets to return of each sentence, at most `num_beams`.
        length_penalty: The paper's alpha: 0 ranks by probability, which prefers short targets;
            greater values longer ones.
        coverage_penalty: The paper's beta, 0 or more: prefers targets that leave no part of the
            source unread. Above 0 the model must have attention.
        prefix: int32 ids `(batch, prefix_length)` that the targets must begin with, padded with
            `pad_id` at the end; no longer than `max_length`. Its probability counts. Default: none.
        return_attention: Also return the attention; the model must have one.

    Returns:
        `tokens`, int32 `(batch, num_hypotheses, length)`, the best first: ids without start and end,
        padded with `pad_id`. `lengths`, int32 `(batch, num_hypotheses)`. `scores`, float32 `(batch,
        num_hypotheses)`; where fewer targets exist, -1e9 or less. With `return_attention` also the
        weights `(batch, num_hypotheses, length + 1, source_length)`, as `greedy_search` gives them.

    Raises:
        ValueError: An argument is not as above.

    Example:
        >>> import numpy as np
        >>> from seq2lite import zoo
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50)
        >>> tokens, lengths, scores = zoo.beam_search(model, np.array([[5, 6, 3]]), max_length=4,
        ...                                           num_hypotheses=2)
        >>> bool(scores[0, 0] >= scores[0, 1])
        True
    """
    source = checked_source(model, source)
    check_length(model, max_length)
    _check_arguments(model, num_beams, num_hypotheses, length_penalty, coverage_penalty)
    model.require_attention(return_attention)
    batch, size = ops.shape(source)[0], model.vocabulary_size
    prefix = full_prefix(model, prefix, batch, max_length)
    is_token = ops.cast(model.source_mask(source), "float32")
    num_candidates = 2 * num_beams  # at most half of them end: enough go on
    is_first = ops.expand_dims(ops.arange(num_candidates) < num_beams, 0)

    def penalty(length):
        return ((5.0 + ops.cast(length, "float32")) / 6.0) ** length_penalty

    # A loop's tensors keep their shapes known to TFLite before it runs, where a reshape says -1 and
    # not `batch`, and where targets are rows: else it prepares the whole body anew at each turn.
    sentence = ops.expand_dims(ops.arange(batch, dtype="int32"), 1)

    def rows_of(places, num):
        """Where in `(batch * num, …)` the `places (batch, m)` of each sentence are, `(batch * m,)`."""
        return ops.reshape(sentence * num + places, (-1,))

    def of_sentence(x, places):
        """`x[b, places[b, i]]` for `x (batch, n)`, of which `places (batch, m)` chooses."""
        chosen = ops.take(ops.reshape(x, (-1,)), rows_of(places, x.shape[1]), axis=0)
        return ops.reshape(chosen, (-1, places.shape[1]))

    def goes_on(step, tokens, log_probability, coverage, best_scores, *_):
        # A log-probability only falls; the greatest divisor raises it most.
        length = max_length if length_penalty >= 0 else step + 1
        within_reach = ops.max(log_probability, axis=1) / penalty(length)
        return ops.any(ops.less(best_scores[:, -1], within_reach))

    def advance(step, state, tokens, log_probability, coverage, best_scores, best_tokens, lengths):
        # Of each beam, the token it said last; before the first step, the start.
        last = ops.take(tokens, ops.maximum(step - 1, 0), axis=1)
        last = ops.where(ops.equal(step, 0), model.start_id, last)
        if coverage_penalty:
            logits, after, weights = model.step(last, state, return_attention=True)
            coverage = coverage + ops.cast(weights, "float32")
        else:
            logits, after = model.step(last, state)
        each = log_probabilities(logits)
        each = ops.reshape(each, (-1, num_beams, size))
        if prefix is not None:
            forced = ops.expand_dims(ops.take(prefix, step, axis=1), 1)
            is_other = ops.not_equal(forced, ops.expand_dims(ops.arange(size, dtype="int32"), 0))
            is_other = ops.logical_and(is_other, ops.not_equal(forced, model.pad_id))
            each = ops.where(ops.expand_dims(is_other, 1), IMPOSSIBLE, each)

        # The candidates, of all beams of a sentence together, the likeliest first.
        total = ops.reshape(ops.expand_dims(log_probability, 2) + each, (-1, num_beams * size))
        total, place = ops.top_k(total, num_candidates)
        place = ops.cast(place, "int32")
        beam, token = place // size, place % size
        ends = ops.equal(token, model.end_id)
        said = ops.where(ends, model.pad_id, token)
        candidates = ops.take(tokens, rows_of(beam, num_beams), axis=0)
        candidates = ops.slice_update(candidates, [0, step], ops.reshape(said, (-1, 1)))

        # Of the first candidates, as many as there are beams, those that end, or must, are whole.
        # (Masked, not cut off: XLA makes a slow sort of a top_k that is cut in two ways.)
        is_whole = ops.logical_or(ends, ops.equal(step + 1, max_length))
        is_whole = ops.logical_and(is_whole, is_first)
        is_whole = ops.logical_and(is_whole, ops.greater(total, IMPOSSIBLE / 2))
        scores = total / penalty(step + 1)
        if coverage_penalty:
            paid = ops.take(coverage, rows_of(beam, num_beams), axis=0)
            paid = ops.reshape(paid, (batch, num_candidates, -1))
            paid = ops.clip(paid, LEAST_COVERAGE, 1.0)
            unread = ops.log(paid) * ops.expand_dims(is_token, 1)
            scores = scores + coverage_penalty * ops.sum(unread, axis=2)
        scores = ops.where(is_whole, scores, 2 * IMPOSSIBLE)
        num_said = step + 1 - ops.cast(ends, "int32")
        best_scores, best = ops.top_k(
            ops.concatenate([best_scores, scores], axis=1), num_hypotheses
        )
        best = ops.cast(best, "int32")
        is_new = best - num_hypotheses  # negative for what was among the best before
        new_rows = batch * num_hypotheses + sentence * num_candidates + is_new
        best_rows = ops.where(is_new < 0, sentence * num_hypotheses + best, new_rows)
        best_tokens = ops.concatenate([best_tokens, candidates], axis=0)
        best_tokens = ops.take(best_tokens, ops.reshape(best_rows, (-1,)), axis=0)
        lengths = of_sentence(ops.concatenate([lengths, num_said], axis=1), best)

        # The first that do not end are followed.
        log_probability, followed = ops.top_k(ops.where(ends, 2 * IMPOSSIBLE, total), num_beams)
        followed = ops.cast(followed, "int32")
        tokens = ops.take(candidates, rows_of(followed, num_candidates), axis=0)
        rows = rows_of(of_sentence(beam, followed), num_beams)
        if coverage_penalty:
            coverage = ops.take(coverage, rows, axis=0)
        # What is shared is the same for all beams of a sentence.
        after = {
            name: value if name in model.shared_state else ops.take(value, rows, axis=0)
            for name, value in after.items()
        }
        return after, (tokens, log_probability, coverage, best_scores, best_tokens, lengths)

    state = model.encode(source)
    # Not `ops.repeat`, after which the other axes' sizes are no longer known to a graph.
    rows = ops.arange(batch * num_beams, dtype="int32") // num_beams
    state = {name: ops.take(value, rows, axis=0) for name, value in state.items()}
    first_only = [[0.0] + [IMPOSSIBLE] * (num_beams - 1)]
    found = (
        ops.full((batch * num_beams, max_length), model.pad_id, dtype="int32"),
        ops.zeros((batch, 1)) + ops.convert_to_tensor(first_only),
        ops.zeros((batch * num_beams, ops.shape(source)[1])),
        ops.full((batch, num_hypotheses), 2 * IMPOSSIBLE),
        ops.full((batch * num_hypotheses, max_length), model.pad_id, dtype="int32"),
        ops.zeros((batch, num_hypotheses), "int32"),
    )
    *_, scores, tokens, lengths = search_loop(
        model, source, state, max_length, goes_on, advance, found
    )
    tokens = ops.reshape(tokens, (batch, num_hypotheses, max_length))
    tokens, scores = trimmed(tokens, lengths), ops.stop_gradient(scores)
    if not return_attention:
        return tokens, lengths, scores
    length = ops.shape(tokens)[2]
    attention = attention_of(
        model,
        ops.repeat(source, num_hypotheses, axis=0),
        ops.reshape(tokens, (batch * num_hypotheses, length)),
    )
    shape = (batch, num_hypotheses, length + 1, ops.shape(source)[1])
    return tokens, lengths, scores, ops.reshape(attention, shape)


def _check_arguments(model, num_beams, num_hypotheses, length_penalty, coverage_penalty):
    require_sizes(num_beams=num_beams, num_hypotheses=num_hypotheses)
    what = f"at most num_beams={num_beams}"
    require("num_hypotheses", num_hypotheses, what, lambda n: n <= num_beams)
    what = "a finite number"
    is_finite = lambda a: is_number(a) and math.isfinite(a)  # noqa: E731
    require("length_penalty", length_penalty, what, is_finite)
    what = "a finite number of 0 or more"
    require("coverage_penalty", coverage_penalty, what, lambda b: is_finite(b) and b >= 0)
    what = f"0 for a model without attention, such as {model.name!r}"
    require("coverage_penalty", coverage_penalty, what, lambda b: model.has_attention or b == 0)
