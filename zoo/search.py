"""Search over the contract: any model of the zoo, eagerly, in a tf.function or in a TFLite file."""

from keras import ops

from .contract import require

# Tokens for which room is made at a time. A runtime prepares every op of a step anew when a shape
# has changed, a tenth of a step's time; room that is not yet used costs attention over nothing.
GROWTH = 16


def likeliest(logits):
    """Ids `(batch,)` of the greatest logits `(batch, vocabulary_size)`, the first of equal ones.

    `ops.argmax` of floats tells -0 from 0 with an op that TFLite has not; of integers it need not.
    """
    greatest = ops.max(logits, axis=-1, keepdims=True)
    return ops.argmax(ops.cast(ops.greater_equal(logits, greatest), "int32"), axis=-1)


def greedy_search(model, source, max_length, choose=likeliest):
    """Takes the likeliest token at each step, until each sentence ends.

    Args:
        model: A `Seq2Seq`.
        source: int32 ids `(batch, source_length)`, each row ended by `end_id`, then padded.
        max_length: Most tokens to generate, an int or an int32 scalar tensor.
        choose: Takes logits `(batch, vocabulary_size)`, gives ids `(batch,)` int32. `export` gives
            the one op of TFLite that does what `likeliest` does.

    Returns:
        `tokens`, int32 `(batch, length)`: the ids without start and end, padded with `pad_id`;
        `length` is that of the longest. And `lengths`, int32 `(batch,)`.

    Example:
        >>> import numpy as np
        >>> from seq2lite import zoo
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50)
        >>> tokens, lengths = zoo.greedy_search(model, np.array([[5, 6, 3]]), max_length=4)
        >>> tokens.shape[1] <= 4
        True
    """
    source = ops.cast(source, "int32")
    require("source", source, "ids of shape (batch, source_length)", lambda s: len(s.shape) == 2)
    state = model.encode(source)
    names = list(state)
    batch = ops.shape(source)[0]
    tokens = ops.full((batch, max_length), model.pad_id, dtype="int32")
    loop_start = (
        ops.convert_to_tensor(0, "int32"),
        ops.full((batch,), model.start_id, dtype="int32"),
        ops.ones((batch,), "int32"),  # 1 while a sentence goes on
        ops.zeros((batch,), "int32"),
        tokens,
    )

    def goes_on(step, token, running, *_):
        return ops.logical_and(ops.less(step, max_length), ops.greater(ops.max(running), 0))

    def next_token(step, token, running, lengths, tokens, *values):
        logits, state = model.step(token, dict(zip(names, values, strict=True)))
        token = choose(logits)
        running = running * ops.cast(ops.not_equal(token, model.end_id), "int32")
        token = ops.where(ops.greater(running, 0), token, model.pad_id)
        tokens = ops.slice_update(tokens, [0, step], ops.expand_dims(token, 1))
        return (step + 1, token, running, lengths + running, tokens, *(state[n] for n in names))

    def next_tokens(step, *rest):
        found, values = rest[:4], rest[4:]
        state = model.grow(dict(zip(names, values, strict=True)), GROWTH)
        full = step + GROWTH
        return ops.while_loop(
            lambda step, *rest: ops.logical_and(ops.less(step, full), goes_on(step, *rest)),
            next_token,
            (step, *found, *(state[n] for n in names)),
        )

    _, _, _, lengths, tokens, *_ = ops.while_loop(
        goes_on, next_tokens, (*loop_start, *state.values())
    )
    return tokens[:, : ops.max(lengths)], lengths
