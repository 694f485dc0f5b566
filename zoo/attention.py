"""Attention: Bahdanau's and Luong's over the encoder's outputs, Vaswani's in many heads.

Each is written twice over the same weights: for a sequence of queries at once (training), and for
one query a sentence (a step on a device).
"""

import keras
from keras import layers, ops

from .contract import added


def attention_weights(scores):
    """Softmax over the last axis. Over one position it is one, of which `ops.softmax` warns."""
    return ops.ones_like(scores) if scores.shape[-1] == 1 else ops.softmax(scores)


class GlobalAttention(layers.Layer):
    """Scores over all encoder outputs, and their weighted mean, the context.

    Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473; Luong et al. 2015,
    https://arxiv.org/abs/1508.04025, section 3.1.

    Args:
        score: `"additive"`, `"dot"`, `"general"` or `"concat"` (see `rnn_seq2seq`).
        dim: Inner size of the additive scores.
    """

    def __init__(self, score, dim, **kwargs):
        super().__init__(**kwargs)
        self.score = score
        # Bahdanau's W q + U m and Luong's W [q; m] are one form; they differ in which query comes.
        self.is_additive = score in ("additive", "concat")
        self.dim = dim

    def build(self, shapes):
        (_, query_dim), (_, _, memory_dim) = shapes
        self.query_map = self.key_map = self.score_vector = None
        if self.is_additive:
            self.query_map = added(layers.Dense(self.dim, use_bias=False), (None, query_dim))
            self.key_map = added(layers.Dense(self.dim), (None, memory_dim))
            self.score_vector = self.add_weight(name="score_vector", shape=(self.dim,))
        elif self.score == "general":
            self.key_map = added(layers.Dense(query_dim, use_bias=False), (None, memory_dim))

    def keys(self, memory):
        """What of a score depends on the encoder outputs alone: once a sentence.

        `(batch, source_length, encoder_dim)` to `(batch, source_length, dim)`.
        """
        if self.key_map is None:
            return memory
        batch, length, dim = ops.shape(memory)
        keys = self.key_map(ops.reshape(memory, (-1, dim)))
        return ops.reshape(keys, (batch, length, self.key_map.units))

    def call(self, query, keys, memory, bias):
        """One query a sentence, `(batch, query_dim)`, to the context `(batch, encoder_dim)`."""
        if self.is_additive:
            query = ops.expand_dims(self.query_map(query), 1)
            scores = ops.sum(
                ops.tanh(query + keys) * ops.cast(self.score_vector, query.dtype), axis=-1
            )
        else:
            scores = ops.sum(ops.expand_dims(query, 1) * keys, axis=-1)
        weights = attention_weights(scores + bias)
        return ops.sum(ops.expand_dims(weights, -1) * memory, axis=1)

    def over_sequence(self, queries, keys, memory, bias):
        """`call` for queries `(batch, length, query_dim)` at once."""
        if self.is_additive:
            batch, length, dim = ops.shape(queries)
            queries = self.query_map(ops.reshape(queries, (-1, dim)))
            queries = ops.reshape(queries, (batch, length, 1, self.dim))
            scores = ops.tanh(queries + ops.expand_dims(keys, 1))
            scores = scores * ops.cast(self.score_vector, scores.dtype)
            scores = ops.sum(scores, axis=-1)
        else:
            scores = ops.matmul(queries, ops.swapaxes(keys, 1, 2))
        return ops.matmul(attention_weights(scores + ops.expand_dims(bias, 1)), memory)


class MultiHeadAttention(layers.Layer):
    """What self- and cross-attention share: heads, and the output projection.

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2.2.
    """

    def __init__(self, dim, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.output_projection = layers.Dense(dim, name="output_projection")

    def build(self, shape):
        self.output_projection.build(shape)

    def heads(self, x, batch):
        """`(batch * length, dim)` to `(batch, num_heads, length, head_dim)`."""
        x = ops.reshape(x, (batch, -1, self.num_heads, self.head_dim))
        return ops.transpose(x, (0, 2, 1, 3))

    def key_heads(self, x, batch):
        """`heads`, transposed as scores need it: `(batch, num_heads, head_dim, length)`."""
        x = ops.reshape(x, (batch, -1, self.num_heads, self.head_dim))
        return ops.transpose(x, (0, 2, 3, 1))

    def one_head_row(self, x):
        """`heads` for one token a sentence, where nothing needs to move in memory."""
        return ops.reshape(x, (-1, self.num_heads, 1, self.head_dim))

    def attend(self, query, keys, values, bias):
        """Scaled dot-product attention (equation 1).

        Args:
            query: `(batch, num_heads, length, head_dim)`, scaled by 1 / sqrt(head_dim).
            keys: `(batch, num_heads, head_dim, key_length)`.
            values: `(batch, num_heads, key_length, head_dim)`.
            bias: Broadcasts to `(batch, num_heads, length, key_length)`.

        Returns:
            The context `(batch, num_heads, length, head_dim)`.
        """
        return ops.matmul(attention_weights(ops.matmul(query, keys) + bias), values)

    def project(self, context):
        """The output projection of a context, to `(batch * length, dim)`."""
        if context.shape[2] != 1:
            context = ops.transpose(context, (0, 2, 1, 3))
        return self.output_projection(ops.reshape(context, (-1, self.num_heads * self.head_dim)))


class SelfAttention(MultiHeadAttention):
    """Attention of a sequence over itself; query, key and value come of one product."""

    def __init__(self, dim, num_heads, **kwargs):
        super().__init__(dim, num_heads, **kwargs)
        self.query_key_value = layers.Dense(
            3 * dim, kernel_initializer=_glorot_of_parts(3), name="query_key_value"
        )
        # Over all three, before they part: so the converter takes it into the weights.
        self.scale = [self.head_dim**-0.5] * dim + [1.0] * (2 * dim)

    def build(self, shape):
        super().build(shape)
        self.query_key_value.build(shape)

    def call(self, x, bias, *, batch):
        query, key, value = self._split(x)
        context = self.attend(
            self.heads(query, batch), self.key_heads(key, batch), self.heads(value, batch), bias
        )
        return self.project(context)

    def step(self, x, cache, slot, bias):
        """One token further, as products and sums: a matrix product would pack all of the cache.

        Args:
            x: `(batch, dim)`.
            cache: Keys and values, each `(batch, num_heads, length, head_dim)`.
            slot: Where this token's are written, an int32 scalar.
            bias: `(batch, 1, length)`, a large negative number at slots not yet written.

        Returns:
            `(batch, dim)`, and the cache.
        """
        query, *new = self._split(x)
        keys, values = cache = [
            ops.slice_update(old, [0, 0, slot, 0], self.one_head_row(row))
            for old, row in zip(cache, new, strict=True)
        ]
        scores = ops.sum(self.one_head_row(query) * keys, axis=-1)
        weights = attention_weights(scores + bias)
        context = ops.sum(ops.expand_dims(weights, -1) * values, axis=2, keepdims=True)
        return self.project(context), cache

    def _split(self, x):
        """Query, scaled, key and value: `(rows, dim)` each."""
        x = self.query_key_value(x)
        return ops.split(x * ops.convert_to_tensor([self.scale], x.dtype), 3, axis=-1)


class CrossAttention(MultiHeadAttention):
    """Attention of the decoder over the encoder's outputs."""

    def __init__(self, dim, num_heads, **kwargs):
        super().__init__(dim, num_heads, **kwargs)
        self.query = layers.Dense(dim, name="query")
        self.key_value = layers.Dense(
            2 * dim, kernel_initializer=_glorot_of_parts(2), name="key_value"
        )

    def build(self, shape):
        super().build(shape)
        self.query.build(shape)
        self.key_value.build(shape)

    def keys_values(self, memory, batch):
        """Encoder outputs to keys and values, once a sentence."""
        keys, values = ops.split(self.key_value(memory), 2, axis=-1)
        return self.key_heads(keys, batch), self.heads(values, batch)

    def call(self, x, keys, values, bias, *, batch):
        query = self.heads(self._query(x), batch)
        return self.project(self.attend(query, keys, values, bias))

    def step(self, x, memory, bias):
        """`call` for one token a sentence, `x (batch, dim)`."""
        return self.project(self.attend(self.one_head_row(self._query(x)), *memory, bias))

    def _query(self, x):
        return self.query(x) * self.head_dim**-0.5


def _glorot_of_parts(parts):
    """Glorot uniform for a kernel that holds `parts` square ones side by side.

    Taken as one kernel its limit would be sqrt(6 / (1 + parts) dim), too small for each part.
    """
    return keras.initializers.VarianceScaling(
        scale=(1 + parts) / 2, mode="fan_avg", distribution="uniform"
    )
