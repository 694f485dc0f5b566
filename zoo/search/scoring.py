"""Log-probabilities and attention weights of given targets."""

from typing import TYPE_CHECKING

from keras import ops

from ..checks import as_tensor, has_shape, require
from ..shapes import Tensor
from .arguments import checked_source, require_no_start

if TYPE_CHECKING:  # the model imports its searches
    from ..contract import Seq2Seq


def score(model: "Seq2Seq", source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-probabilities of given targets, in one teacher-forced call.

    Args:
        model: A `Seq2Seq`.
        source: Sources, as in `greedy_search`.
        target: int32 ids `(batch, target_length)` without start, each row ended by `end_id`, then
            padded. A row without `end_id` is scored as the beginning of a target.

    Returns:
        The natural log-probability of each target, float32 `(batch,)`; and that of each token,
        float32 `(batch, target_length)`, zero at padding.

    Raises:
        ValueError: `source` or `target` has another shape, or a row of `target` begins with `start_id`.
            The ids of a tensor in a graph are not checked.

    Example:
        >>> import numpy as np
        >>> from seq2lite import zoo
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50)
        >>> total, each = zoo.score(model, np.array([[5, 6, 3]]), np.array([[7, 8, 3]]))
        >>> tuple(each.shape)
        (1, 3)
    """
    source = checked_source(model, source)
    what = "ids of shape (batch, target_length), a row for each source"
    target = as_tensor("target", target, "int32", what, model.vocabulary_size)
    require(has_shape(target, ops.shape(source)[0], None), what, target=target)
    require_no_start("target", target, model)
    given = ops.concatenate([_start_tokens(model, target), target[:, :-1]], axis=1)
    logits = model({"source": source, "target": given}, training=False)
    each = ops.log_softmax(ops.cast(logits, "float32"))
    each = ops.take_along_axis(each, ops.expand_dims(target, 2), axis=2)[:, :, 0]
    each = ops.where(ops.equal(target, model.pad_id), 0.0, each)
    return ops.sum(each, axis=1), each


def attention_of(model, source, tokens):
    """Return the attention weights `(batch, length + 1, source_length)` of generated tokens.

    They come from one teacher-forced call, which equals stepwise decoding, so that a search need not
    carry them.
    """
    target = ops.concatenate([_start_tokens(model, tokens), tokens], axis=1)
    inputs = {"source": source, "target": target}
    return ops.stop_gradient(model(inputs, training=False, return_attention=True)[1])


def _start_tokens(model, like):
    """Return the start id of each row of `like`, int32 `(batch, 1)`."""
    return ops.full((ops.shape(like)[0], 1), model.start_id, dtype="int32")
