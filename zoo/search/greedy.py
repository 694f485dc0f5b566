"""Search over the contract: any model of the zoo, eagerly, in a tf.function or in a TFLite file.

Here are the loop that all searches share, greedy search, sampling, and the scores of given targets;
`beam.py` holds beam search.
"""

from keras import ops

from .loop import check_length, checked_source, full_prefix, search_loop, trimmed
from .scoring import attention_of


def likeliest(logits):
    """Ids `(batch,)` of the greatest logits `(batch, vocabulary_size)`, the first of equal ones.

    `ops.argmax` of floats tells -0 from 0 with an op that TFLite has not; of integers it need not.
    """
    greatest = ops.max(logits, axis=-1, keepdims=True)
    return ops.argmax(ops.cast(ops.greater_equal(logits, greatest), "int32"), axis=-1)


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
