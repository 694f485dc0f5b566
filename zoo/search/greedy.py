"""Greedy search."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from keras import ops

from ..shapes import Tensor
from .arguments import checked_arguments
from .constraints import constraint
from .loop import one_at_a_time
from .scoring import attention_of

if TYPE_CHECKING:  # the model imports its searches
    from ..contract import Seq2Seq


def most_probable(logits):
    """Return ids `(batch,)` of the largest logits `(batch, vocabulary_size)`, ties by index.

    Of floats, `ops.argmax` distinguishes -0 from 0 by an op that TFLite lacks; of integers it does
    not.
    """
    largest = ops.max(logits, axis=-1, keepdims=True)
    return ops.argmax(ops.cast(ops.greater_equal(logits, largest), "int32"), axis=-1)


def greedy_search(
    model: "Seq2Seq",
    source: Tensor,
    max_length: int | Tensor,
    *,
    prefix: Tensor | None = None,
    min_length: int = 0,
    no_repeat_ngram: int = 0,
    repetition_penalty: float = 1.0,
    banned_tokens: Sequence[int] = (),
    choose: Callable[[Tensor], Tensor] = most_probable,
    return_attention: bool = False,
) -> tuple[Tensor, ...]:
    """Generate the most probable token at each step, until each sentence ends.

    Args:
        model: A `Seq2Seq`.
        source: Sources as `model.source_spec` describes them: int32 ids `(batch, source_length)`,
            each row ended by `end_id`, then padded; or float features.
        max_length: Maximum number of tokens to generate, an int or an int32 scalar tensor. The JAX
            backend requires an int.
        prefix: int32 ids `(batch, prefix_length)` that the targets must begin with, padded at the end
            with `pad_id`, at most `max_length` long. Default: none. The constraints below do not
            change the prefix.
        min_length: Minimum number of tokens before the end, the prefix included. Default 0.
        no_repeat_ngram: No sequence of this many tokens occurs twice in a target, its start token
            included. Default 0: no constraint.
        repetition_penalty: Divisor of the positive logits, and factor of the negative ones, of tokens
            that the target contains, the start token included (Keskar et al. 2019,
            https://arxiv.org/abs/1909.05858). A positive number; above 1 it disfavors repetition.
            Default 1: no penalty.
        banned_tokens: Ids that are never generated. Default: none.
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
    source, prefix = checked_arguments(model, source, max_length, prefix)
    model.require_attention(return_attention)
    constrain = constraint(
        model,
        max_length,
        min_length=min_length,
        no_repeat_ngram=no_repeat_ngram,
        repetition_penalty=repetition_penalty,
        banned_tokens=banned_tokens,
    )
    tokens, lengths = one_at_a_time(
        model, source, max_length, prefix, constrain, lambda logits, step: choose(logits)
    )
    if return_attention:
        return tokens, lengths, attention_of(model, source, tokens)
    return tokens, lengths
