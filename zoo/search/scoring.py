"""Log-probabilities and attention weights of given targets."""

from keras import ops

from ..checks import require
from .loop import _fits, _start, checked_source


def score(model, source, target):
    """Log-probabilities of given targets, by one call for all tokens (teacher forcing).

    Args:
        model: A `Seq2Seq`.
        source: int32 ids `(batch, source_length)`, each row ended by `end_id`, then padded.
        target: int32 ids `(batch, target_length)` without start, each row ended by `end_id` (or
            cut, if its end is not to count), then padded.

    Returns:
        float32 `(batch,)`, the natural logarithm of each target's probability, and float32
        `(batch, target_length)`, that of each of its tokens, zero at padding.

    Raises:
        ValueError: Source or target is not of rank 2.

    Example:
        >>> import numpy as np
        >>> from seq2lite import zoo
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50)
        >>> total, each = zoo.score(model, np.array([[5, 6, 3]]), np.array([[7, 8, 3]]))
        >>> tuple(each.shape)
        (1, 3)
    """
    source = checked_source(model, source)
    target = ops.cast(target, "int32")
    what = "ids of shape (batch, target_length), a row for each source"
    require("target", target, what, lambda t: _fits(t, ops.shape(source)[0], None))
    given = ops.concatenate([_start(model, target), target[:, :-1]], axis=1)
    logits = model({"source": source, "target": given}, training=False)
    each = ops.log_softmax(ops.cast(logits, "float32"))
    each = ops.take_along_axis(each, ops.expand_dims(target, 2), axis=2)[:, :, 0]
    each = ops.where(ops.equal(target, model.pad_id), 0.0, each)
    return ops.sum(each, axis=1), each


def attention_of(model, source, tokens):
    """The weights `(batch, length + 1, source_length)` with which found tokens were chosen.

    By teacher forcing, to which stepwise decoding is equal: a search need not carry them along.
    """
    target = ops.concatenate([_start(model, tokens), tokens], axis=1)
    inputs = {"source": source, "target": target}
    return ops.stop_gradient(model(inputs, training=False, return_attention=True)[1])
