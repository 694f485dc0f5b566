"""Greedy search, and the loop that it shares with sampling."""

from collections.abc import Callable

from keras import ops

from ..contract import Seq2Seq
from ..lowering import current_lowering
from ..shapes import Tensor
from .loop import check_length, checked_source, full_prefix, search_loop, trimmed
from .scoring import attention_of


def most_probable(logits):
    """Returns ids `(batch,)` of the largest logits `(batch, vocabulary_size)`, ties by index.

    Of floats, `ops.argmax` distinguishes -0 from 0 by an op that TFLite lacks; of integers it does
    not.
    """
    largest = ops.max(logits, axis=-1, keepdims=True)
    return ops.argmax(ops.cast(ops.greater_equal(logits, largest), "int32"), axis=-1)


def greedy_search(
    model: Seq2Seq,
    source: Tensor,
    max_length: int | Tensor,
    *,
    prefix: Tensor | None = None,
    choose: Callable[[Tensor], Tensor] = most_probable,
    return_attention: bool = False,
) -> tuple[Tensor, ...]:
    """Generates the most probable token at each step, until each sentence ends.

    Args:
        model: A `Seq2Seq`.
        source: Sources as `model.source_spec` describes them: int32 ids `(batch, source_length)`,
            each row ended by `end_id`, then padded; or float features.
        max_length: Maximum number of tokens to generate, an int or an int32 scalar tensor. The JAX
            backend requires an int.
        prefix: int32 ids `(batch, prefix_length)` that the targets must begin with, padded at the end
            with `pad_id`, at most `max_length` long. Default: none.
        choose: Function from logits `(batch, vocabulary_size)` to int32 ids `(batch,)`. `export`
            passes the equivalent TFLite op. Default: `most_probable`.
        return_attention: Whether to return attention weights; the model must have attention.
            Default: False.

    Returns:
        `tokens`, int32 `(batch, length)`, without start and end, padded with `pad_id`. `length` is
        that of the longest target, at least 1; under JAX it is `max_length`. `lengths`, int32
        `(batch,)`. With `return_attention` also the weights `(batch, length + 1, source_length)`: the
        row of each token, and after the last token of a sentence the row of its end.

    Raises:
        ValueError: An argument has another type or shape, or is out of its range.

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
    tokens, lengths = one_at_a_time(
        model, source, max_length, prefix, lambda logits, step: choose(logits)
    )
    if return_attention:
        return tokens, lengths, attention_of(model, source, tokens)
    return tokens, lengths


def one_at_a_time(model, source, max_length, prefix, choose):
    """Generates one token per step.

    `choose` maps logits `(batch, vocabulary_size)` and the number of the step to ids `(batch,)`.
    """
    batch = ops.shape(source)[0]
    prefix = full_prefix(model, prefix, batch, max_length)

    def continues(step, token, running, *_):
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

    results = (
        ops.full((batch,), model.start_id, dtype="int32"),
        ops.ones((batch,), "int32"),  # 1 until a sentence has ended
        ops.zeros((batch,), "int32"),
        ops.full((batch, max_length), model.pad_id, dtype="int32"),
    )
    state = current_lowering().call(model.encode, source)
    *_, lengths, tokens = search_loop(model, source, state, max_length, continues, advance, results)
    return trimmed(tokens, lengths), lengths
