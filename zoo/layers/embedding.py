"""Token embeddings, and the output projection that may share their table."""

from typing import Any

import keras
from keras import layers, ops

from ..checks import require, require_one_of
from ..lowering import current_lowering
from ..shapes import Tensor, built

SHARING = ("separate", "shared_target", "shared")


class TokenEmbedding(layers.Embedding):
    """A `keras.layers.Embedding` whose table can also be the output projection.

    Tied embeddings: Press and Wolf 2017, https://arxiv.org/abs/1608.05859; Vaswani et al. 2017,
    section 3.4.

    Args:
        vocabulary_size: Number of rows of the table.
        dim: Size of an embedding.

    Example:
        >>> from seq2lite import zoo
        >>> table = zoo.TokenEmbedding(50, 16)
        >>> table.build(None)
        >>> table.sequences([[5, 6, 0]], pad_id=0).shape
        TensorShape([1, 3, 16])
    """

    def __init__(self, vocabulary_size: int, dim: int, **kwargs: Any):
        initializer = keras.initializers.RandomNormal(stddev=dim**-0.5)
        super().__init__(vocabulary_size, dim, embeddings_initializer=initializer, **kwargs)

    def compute_output_shape(self, input_shape: tuple | None) -> tuple:
        return (*(input_shape or (None,)), self.output_dim)  # the layer is built without a shape

    def call(self, ids: Tensor) -> Tensor:
        """Embeddings `(rows, dim)` of int32 ids `(rows,)`."""
        rows = current_lowering().take_rows(self.embeddings, ids)
        return ops.cast(rows, self.compute_dtype)

    def sequences(self, ids: Tensor, pad_id: int | None) -> Tensor:
        """Embed sequences; padding becomes zero, so that its row of the table has no effect.

        Args:
            ids: int32 `(batch, length)`.
            pad_id: Id of padding; None if no id is padding.

        Returns:
            `(batch, length, dim)`.
        """
        x = self.tokens(ops.reshape(ids, (-1,)), pad_id)
        return ops.reshape(x, (*ops.shape(ids), self.output_dim))

    def tokens(self, ids: Tensor, pad_id: int | None) -> Tensor:
        """`sequences` for one token per sentence: int32 ids `(batch,)` to `(batch, dim)`."""
        if pad_id is None:
            return self(ids)
        replacement = current_lowering().padding_id
        if replacement is not None:
            # A sum: microcontrollers can select floats and short integers only.
            is_padding = ops.cast(ops.equal(ids, pad_id), "int32")
            return self(ids + is_padding * (replacement - pad_id))
        x = self(ids)
        return ops.where(ops.expand_dims(ops.not_equal(ids, pad_id), -1), x, ops.zeros_like(x))


class OutputProjection(layers.Layer):
    """Activations `(rows, dim)` to logits `(rows, vocabulary_size)`.

    Args:
        vocabulary_size: Number of logits.
        tied_to: A `TokenEmbedding` whose table is used, transposed; None for a table of its own.
    """

    def __init__(self, vocabulary_size, tied_to=None, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.tied_to = tied_to
        self.table = None

    def build(self, input_shape):
        if self.tied_to is None:
            self.table = self.add_weight(
                name="table", shape=(self.vocabulary_size, input_shape[-1])
            )
        self.bias = self.add_weight(name="bias", shape=(self.vocabulary_size,), initializer="zeros")

    def call(self, x):
        table = self.tied_to.embeddings if self.table is None else self.table
        return ops.matmul(x, ops.transpose(ops.cast(table, x.dtype))) + self.bias


def token_embeddings(sharing, *, source_vocabulary_size, vocabulary_size, dim, output_dim):
    """Build source embedding, target embedding and output projection, with one to three tables.

    Args:
        sharing: `"separate"`: three tables; `"shared_target"`: the target's embedding is the output
            projection; `"shared"`: the source's embedding too.
        source_vocabulary_size: Number of the source's ids.
        vocabulary_size: Number of the target's ids.
        dim: Size of an embedding.
        output_dim: Size of the output projection's input.
    """
    check_sharing(sharing, dim, output_dim)
    if sharing == "shared":
        is_same = source_vocabulary_size == vocabulary_size
        expected = f"vocabulary_size={vocabulary_size} with embeddings='shared'"
        require(is_same, expected, source_vocabulary_size=source_vocabulary_size)
    source = built(TokenEmbedding(source_vocabulary_size, dim, name="source_embedding"), None)
    target = source
    if sharing != "shared":
        target = built(TokenEmbedding(vocabulary_size, dim, name="target_embedding"), None)
    tied_to = None if sharing == "separate" else target
    output = OutputProjection(vocabulary_size, tied_to, name="output")
    return source, target, built(output, (None, output_dim))


def check_sharing(sharing, dim, output_dim):
    """Raise ValueError unless `sharing` is one of SHARING and the sizes allow it."""
    require_one_of("embeddings", sharing, SHARING)
    if sharing != "separate":
        expected = (
            f"'separate' if the size of an embedding ({dim}) differs from that of the output "
            f"projection's input ({output_dim})"
        )
        require(dim == output_dim, expected, embeddings=sharing)
