"""Beam search with the length and coverage penalties of Wu et al. 2016."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras import ops

from ..lowering import current_lowering
from ..shapes import Tensor
from .arguments import check_beams, checked_arguments
from .constraints import constraint
from .loop import log_probabilities, search_loop, trimmed
from .scoring import attention_of

if TYPE_CHECKING:  # the model imports its searches
    from ..contract import Seq2Seq

# Log-probability of impossible targets: far below that of any sentence, far above the float32 minimum.
IMPOSSIBLE = -1e9


MIN_COVERAGE = 1e-6  # lower bound of the coverage, before its logarithm


def beam_search(
    model: "Seq2Seq",
    source: Tensor,
    max_length: int | Tensor,
    *,
    num_beams: int = 4,
    num_hypotheses: int = 1,
    length_penalty: float = 0.6,
    coverage_penalty: float = 0.0,
    prefix: Tensor | None = None,
    min_length: int = 0,
    no_repeat_ngram: int = 0,
    repetition_penalty: float = 1.0,
    banned_tokens: Sequence[int] = (),
    return_attention: bool = False,
) -> tuple[Tensor, ...]:
    """Keep the `num_beams` most probable hypotheses at each step and return the best targets.

    A target Y is ranked as in Wu et al. 2016, https://arxiv.org/abs/1609.08144, equation 14::

        score(Y) = log P(Y | X) / lp(Y) + cp(Y)
        lp(Y) = ((5 + |Y|) / 6) ** length_penalty
        cp(Y) = coverage_penalty * sum over source tokens of log(min(attention paid to it, 1))

    |Y| counts the tokens and the end. A target that has not ended after `max_length` tokens is ranked
    as it is. A sentence is finished when no active hypothesis can still score better than the worst
    of its results. This early stop does not change the results.

    Args:
        model: A `Seq2Seq`.
        source: Sources, as in `greedy_search`.
        max_length: Maximum number of tokens of a target, its end included; an int or an int32 scalar
            tensor. The JAX backend requires an int.
        num_beams: Beam size, default 4.
        num_hypotheses: Number of targets to return for each sentence, at most `num_beams`. Default 1.
        length_penalty: The paper's alpha, default 0.6. 0 ranks by probability, which favors short
            targets; larger values favor longer targets.
        coverage_penalty: The paper's beta, non-negative, default 0. Favors targets that attend to
            every part of the source. A positive value requires a model with attention.
        prefix: int32 ids `(batch, prefix_length)` that the targets must begin with, padded at the end
            with `pad_id`, at most `max_length` long. Scores include its probability. Default: none.
        min_length, no_repeat_ngram, repetition_penalty, banned_tokens: Constraints, as in
            `greedy_search`. They change the log-probabilities, and so the scores.
        return_attention: Whether to return attention weights; the model must have attention.
            Default: False.

    Returns:
        `tokens`, int32 `(batch, num_hypotheses, length)`, the best target first, without start and
        end, padded with `pad_id`. `lengths`, int32 `(batch, num_hypotheses)`. `scores`, float32
        `(batch, num_hypotheses)`, at most -1e9 where fewer targets exist. With `return_attention`
        also the weights `(batch, num_hypotheses, length + 1, source_length)`, as in `greedy_search`.

    Raises:
        ValueError: An argument has another type or shape, or is out of its range.

    Example:
        >>> import numpy as np
        >>> from seq2lite import zoo
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50)
        >>> tokens, lengths, scores = zoo.beam_search(model, np.array([[5, 6, 3]]), max_length=4,
        ...                                           num_hypotheses=2)
        >>> bool(scores[0, 0] >= scores[0, 1])
        True
    """
    source, prefix = checked_arguments(model, source, max_length, prefix)
    check_beams(model, num_beams, num_hypotheses, length_penalty, coverage_penalty)
    constrain = constraint(
        model,
        max_length,
        min_length=min_length,
        no_repeat_ngram=no_repeat_ngram,
        repetition_penalty=repetition_penalty,
        banned_tokens=banned_tokens,
    )
    model.require_attention(return_attention)
    batch, size = ops.shape(source)[0], model.vocabulary_size
    is_token = ops.cast(model.source_mask(source), "float32")
    num_candidates = 2 * num_beams  # at most half of them end, so num_beams remain active
    is_first = ops.expand_dims(ops.arange(num_candidates) < num_beams, 0)

    def penalty(length):
        return ((5.0 + ops.cast(length, "float32")) / 6.0) ** length_penalty

    # Reshapes with -1 instead of `batch`, and one row for each hypothesis, keep the loop's shapes static
    # for TFLite. Otherwise it would prepare the whole body again in each iteration.
    sentence = ops.expand_dims(ops.arange(batch, dtype="int32"), 1)

    def rows_of(indices, num):
        """Return rows `(batch * m,)` of `(batch * num, …)`, for `indices (batch, m)` in each sentence."""
        return ops.reshape(sentence * num + indices, (-1,))

    def of_sentence(x, indices):
        """Return `x[b, indices[b, i]]` for `x (batch, n)` and `indices (batch, m)`."""
        chosen = ops.take(ops.reshape(x, (-1,)), rows_of(indices, x.shape[1]), axis=0)
        return ops.reshape(chosen, (-1, indices.shape[1]))

    def continues(step, tokens, log_probability, coverage, best_scores, *_):
        # Log-probabilities only decrease, and the largest divisor gives the best possible score.
        length = max_length if length_penalty >= 0 else step + 1
        best_possible = ops.max(log_probability, axis=1) / penalty(length)
        return ops.any(ops.less(best_scores[:, -1], best_possible))

    def advance(step, state, tokens, log_probability, coverage, best_scores, best_tokens, lengths):
        # The last token of each hypothesis; before the first step, the start.
        last = ops.take(tokens, ops.maximum(step - 1, 0), axis=1)
        last = ops.where(ops.equal(step, 0), model.start_id, last)
        if coverage_penalty:
            logits, after, weights = model.step(last, state, return_attention=True)
            coverage = coverage + ops.cast(weights, "float32")
        else:
            logits, after = model.step(last, state)
        each = unconstrained = ops.reshape(log_probabilities(logits), (-1, num_beams, size))
        if constrain is not None:
            each = constrain(ops.reshape(each, (-1, size)), tokens, step)
            each = ops.reshape(ops.maximum(each, IMPOSSIBLE), (-1, num_beams, size))
        if prefix is not None:
            forced = ops.expand_dims(ops.take(prefix, step, axis=1), 1)
            is_other = ops.not_equal(forced, ops.expand_dims(ops.arange(size, dtype="int32"), 0))
            is_other = ops.logical_and(is_other, ops.not_equal(forced, model.pad_id))
            if constrain is not None:
                is_free = ops.expand_dims(ops.equal(forced, model.pad_id), 1)
                each = ops.where(is_free, each, unconstrained)
            each = ops.where(ops.expand_dims(is_other, 1), IMPOSSIBLE, each)

        # The candidates of all hypotheses of a sentence, the most probable first.
        total = ops.reshape(ops.expand_dims(log_probability, 2) + each, (-1, num_beams * size))
        total, index = ops.top_k(total, num_candidates)
        index = ops.cast(index, "int32")
        beam, token = index // size, index % size
        ends = ops.equal(token, model.end_id)
        new_tokens = ops.where(ends, model.pad_id, token)
        candidates = ops.take(tokens, rows_of(beam, num_beams), axis=0)
        candidates = ops.slice_update(candidates, [0, step], ops.reshape(new_tokens, (-1, 1)))

        # Among the first num_beams candidates, those that end, or reach max_length, are complete.
        # (Masked instead of sliced, because XLA compiles two slices of a top_k to a slow sort.)
        is_complete = ops.logical_or(ends, ops.equal(step + 1, max_length))
        is_complete = ops.logical_and(is_complete, is_first)
        is_complete = ops.logical_and(is_complete, ops.greater(total, IMPOSSIBLE / 2))
        scores = total / penalty(step + 1)
        if coverage_penalty:
            paid = ops.take(coverage, rows_of(beam, num_beams), axis=0)
            paid = ops.reshape(paid, (batch, num_candidates, -1))
            paid = ops.clip(paid, MIN_COVERAGE, 1.0)
            log_coverage = ops.log(paid) * ops.expand_dims(is_token, 1)
            scores = scores + coverage_penalty * ops.sum(log_coverage, axis=2)
        scores = ops.where(is_complete, scores, 2 * IMPOSSIBLE)
        num_tokens = step + 1 - ops.cast(ends, "int32")
        best_scores, best = ops.top_k(
            ops.concatenate([best_scores, scores], axis=1), num_hypotheses
        )
        best = ops.cast(best, "int32")
        is_new = best - num_hypotheses  # negative for earlier results
        new_rows = batch * num_hypotheses + sentence * num_candidates + is_new
        best_rows = ops.where(is_new < 0, sentence * num_hypotheses + best, new_rows)
        best_tokens = ops.concatenate([best_tokens, candidates], axis=0)
        best_tokens = ops.take(best_tokens, ops.reshape(best_rows, (-1,)), axis=0)
        lengths = of_sentence(ops.concatenate([lengths, num_tokens], axis=1), best)

        # The best candidates that have not ended stay active.
        log_probability, active = ops.top_k(ops.where(ends, 2 * IMPOSSIBLE, total), num_beams)
        active = ops.cast(active, "int32")
        tokens = ops.take(candidates, rows_of(active, num_candidates), axis=0)
        rows = rows_of(of_sentence(beam, active), num_beams)
        if coverage_penalty:
            coverage = ops.take(coverage, rows, axis=0)
        # Shared state is equal for all hypotheses of a sentence.
        after = {
            name: value if name in model.shared_state else ops.take(value, rows, axis=0)
            for name, value in after.items()
        }
        return after, (tokens, log_probability, coverage, best_scores, best_tokens, lengths)

    state = current_lowering().call(model.encode, source)
    # Not `ops.repeat`, which loses the static sizes of the other axes in a graph.
    rows = ops.arange(batch * num_beams, dtype="int32") // num_beams
    state = {name: ops.take(value, rows, axis=0) for name, value in state.items()}
    first_only = [[0.0] + [IMPOSSIBLE] * (num_beams - 1)]
    results = (
        ops.full((batch * num_beams, max_length), model.pad_id, dtype="int32"),
        ops.zeros((batch, 1)) + ops.convert_to_tensor(first_only),
        ops.zeros((batch * num_beams, ops.shape(source)[1])),
        ops.full((batch, num_hypotheses), 2 * IMPOSSIBLE),
        ops.full((batch * num_hypotheses, max_length), model.pad_id, dtype="int32"),
        ops.zeros((batch, num_hypotheses), "int32"),
    )
    *_, scores, tokens, lengths = search_loop(
        model, source, state, max_length, continues, advance, results
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
