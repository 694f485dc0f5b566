"""Global attention (Bahdanau et al. 2015; Luong et al. 2015)."""

from keras import layers, ops

from ..layers.softmax import attention_weights
from ..shapes import dense


class GlobalAttention(layers.Layer):
    """Scores of all encoder outputs, and their weighted mean, the context.

    Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473; Luong et al. 2015,
    https://arxiv.org/abs/1508.04025, section 3.1.

    Args:
        score: `"additive"`, `"dot"`, `"general"` or `"concat"` (see `rnn_seq2seq`).
        dim: Inner size of additive scores.
    """

    def __init__(self, score, dim, **kwargs):
        super().__init__(**kwargs)
        self.score = score
        # Bahdanau's W q + U m and Luong's W [q; m] are the same; only their queries differ.
        self.is_additive = score in ("additive", "concat")
        self.dim = dim

    def build(self, shapes):
        (_, query_dim), (_, _, memory_dim) = shapes
        self.query_map = self.key_map = self.score_vector = None
        if self.is_additive:
            self.query_map = dense(self.dim, query_dim, "query_map", use_bias=False)
            self.key_map = dense(self.dim, memory_dim, "key_map")
            self.score_vector = self.add_weight(name="score_vector", shape=(self.dim,))
        elif self.score == "general":
            self.key_map = dense(query_dim, memory_dim, "key_map", use_bias=False)

    def keys(self, memory):
        """The part of the scores that depends on the encoder outputs only: once per source.

        Args:
            memory: Encoder outputs `(batch, source_length, encoder_dim)`.

        Returns:
            `(batch, source_length, dim)`.
        """
        if self.key_map is None:
            return memory
        batch, length, dim = ops.shape(memory)
        keys = self.key_map(ops.reshape(memory, (-1, dim)))
        return ops.reshape(keys, (batch, length, self.key_map.units))

    def call(self, query, keys, memory, bias):
        """Attend from one query per sentence.

        Args:
            query: `(batch, query_dim)`.
            keys: The result of `keys`.
            memory: Encoder outputs `(batch, source_length, encoder_dim)`.
            bias: `(batch, source_length)`, a large negative number at padding.

        Returns:
            The context `(batch, encoder_dim)`, and the weights `(batch, source_length)`.
        """
        if self.is_additive:
            query = ops.expand_dims(self.query_map(query), 1)
            scores = ops.sum(
                ops.tanh(query + keys) * ops.cast(self.score_vector, query.dtype), axis=-1
            )
        else:
            scores = ops.sum(ops.expand_dims(query, 1) * keys, axis=-1)
        weights = attention_weights(scores, bias)
        return ops.sum(ops.expand_dims(weights, -1) * memory, axis=1), weights

    def over_sequence(self, queries, keys, memory, bias):
        """`call` for all queries of a sequence, `(batch, length, query_dim)`, at once."""
        if self.is_additive:
            batch, length, dim = ops.shape(queries)
            queries = self.query_map(ops.reshape(queries, (-1, dim)))
            queries = ops.reshape(queries, (batch, length, 1, self.dim))
            scores = ops.tanh(queries + ops.expand_dims(keys, 1))
            scores = scores * ops.cast(self.score_vector, scores.dtype)
            scores = ops.sum(scores, axis=-1)
        else:
            scores = ops.matmul(queries, ops.swapaxes(keys, 1, 2))
        weights = attention_weights(scores, ops.expand_dims(bias, 1))
        return ops.matmul(weights, memory), weights
