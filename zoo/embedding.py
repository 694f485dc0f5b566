"""Token embeddings, and the output projection that may share their table."""

import keras
from keras import layers, ops

from .contract import added


class TokenEmbedding(layers.Embedding):
    """A `keras.layers.Embedding` whose table can also be the output projection.

    Tied embeddings: Press and Wolf 2017, https://arxiv.org/abs/1608.05859; Vaswani et al. 2017,
    section 3.4.

    Args:
        vocabulary_size: Number of rows.
        dim: Size of an embedding.
    """

    def __init__(self, vocabulary_size, dim, **kwargs):
        initializer = keras.initializers.RandomNormal(stddev=dim**-0.5)
        super().__init__(vocabulary_size, dim, embeddings_initializer=initializer, **kwargs)

    # `export` replaces this by the lookup that TFLite runs on the int8 table, without a copy.
    gather = staticmethod(lambda table, ids: ops.take(table, ids, axis=0))

    def call(self, ids):
        """int32 ids `(rows,)` to embeddings `(rows, dim)`."""
        return ops.cast(self.gather(self.embeddings, ids), self.compute_dtype)


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


def embeddings(vocabulary_size, dim, tied):
    """Source embedding, target embedding and output table: one table, or three."""
    source = added(TokenEmbedding(vocabulary_size, dim, name="source_embedding"), None)
    if tied:
        target = source
    else:
        target = added(TokenEmbedding(vocabulary_size, dim, name="target_embedding"), None)
    output = OutputProjection(vocabulary_size, source if tied else None, name="output")
    return source, target, added(output, (None, dim))
