"""Multi-head attention: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2.2.

Each layer has two methods over the same weights: `call` for all queries of a sequence at once, in
training, and `step` for one query per sentence, in a search.
"""

import keras
from keras import layers, ops

from ..layers.softmax import attention_weights
from .cache import kv_cache
from .positions import rotate


class MultiHeadAttention(layers.Layer):
    """Heads and output projection of self- and cross-attention.

    With fewer heads of keys and values than of queries it is grouped-query attention (Ainslie et al.
    2023, https://arxiv.org/abs/2305.13245): query head h reads key head h // (num_heads /
    num_key_heads).

    Args:
        dim: Size of activations.
        num_heads: Number of query heads.
        num_key_heads: Number of heads of keys and of values; divides `num_heads`.
    """

    def __init__(self, dim, num_heads, num_key_heads, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.num_key_heads = num_key_heads
        self.head_dim = dim // num_heads
        self.key_dim = self.head_dim * num_key_heads
        self.output_projection = layers.Dense(dim, name="output_projection")

    def build(self, shape):
        self.output_projection.build(shape)

    def split_heads(self, x, num_heads, batch):
        """`(batch * length, dim)` to `(batch, num_heads, length, head_dim)`."""
        x = ops.reshape(x, (batch, -1, num_heads, self.head_dim))
        return ops.transpose(x, (0, 2, 1, 3))

    def split_heads_of_token(self, x, num_heads):
        """`split_heads` of one token per sentence, without a transposition."""
        return ops.reshape(x, (-1, num_heads, 1, self.head_dim))

    def attend(self, query, keys, values, bias):
        """Scaled dot-product attention (equation 1).

        Args:
            query: `(batch, num_heads, length, head_dim)`, scaled by 1 / sqrt(head_dim).
            keys: `(batch, num_key_heads, head_dim, key_length)`.
            values: `(batch, num_key_heads, key_length, head_dim)`.
            bias: Broadcasts to `(batch, num_heads, length, key_length)`.

        Returns:
            The context `(batch, num_heads, length, head_dim)`, and the weights `(batch, num_heads,
            length, key_length)`.
        """
        if self.num_heads == self.num_key_heads:
            weights = attention_weights(ops.matmul(query, keys), bias)
            return ops.matmul(weights, values), weights
        # The query heads that share keys are rows of one product.
        batch, _, length, _ = ops.shape(query)
        query = ops.reshape(query, (-1, *self._grouped(length), self.head_dim))
        weights = attention_weights(ops.matmul(query, keys), self._grouped_bias(bias, length))
        context = ops.matmul(weights, values)
        context = ops.reshape(context, (-1, self.num_heads, length, self.head_dim))
        return context, ops.reshape(weights, (batch, self.num_heads, length, ops.shape(keys)[3]))

    def _grouped(self, length):
        """Number of key heads, and of rows for each: `length` for each query head that reads it."""
        return self.num_key_heads, self.num_heads // self.num_key_heads * length

    def _grouped_bias(self, bias, length):
        if bias.shape[1:3] == (1, 1) or self.num_heads == self.num_key_heads:
            return bias
        batch, _, _, key_length = ops.shape(bias)
        bias = ops.broadcast_to(bias, (batch, self.num_heads, length, key_length))
        return ops.reshape(bias, (batch, *self._grouped(length), key_length))

    def project(self, context):
        """Apply the output projection to a context; return `(batch * length, dim)`."""
        if context.shape[2] != 1:
            context = ops.transpose(context, (0, 2, 1, 3))
        return self.output_projection(ops.reshape(context, (-1, self.num_heads * self.head_dim)))


class SelfAttention(MultiHeadAttention):
    """Attention of a sequence over itself; query, key and value are one product."""

    has_cache = True

    def __init__(self, dim, num_heads, num_key_heads, **kwargs):
        super().__init__(dim, num_heads, num_key_heads, **kwargs)
        sizes = [dim, self.key_dim, self.key_dim]
        self.query_key_value = layers.Dense(
            sum(sizes),
            kernel_initializer=_glorot_of_parts(sum(sizes) / dim),
            name="query_key_value",
        )
        # Applied before the split, so that the converter folds it into the kernel.
        self.scale = [self.head_dim**-0.5] * dim + [1.0] * (2 * self.key_dim)
        # More runtimes have a fast op for a split into equal parts.
        self.parts = 3 if num_heads == num_key_heads else [dim, dim + self.key_dim]

    def build(self, shape):
        super().build(shape)
        self.query_key_value.build(shape)

    def call(self, x, bias, rotation=None, *, batch):
        """Attend over all positions at once.

        Args:
            x: `(batch * length, dim)`.
            bias: As in `attend`.
            rotation: `positions.rotation` of all positions, with rotary positions.
            batch: Number of sentences.

        Returns:
            `(batch * length, dim)`.
        """
        query, key, value = self._split(x)
        query = self.split_heads(query, self.num_heads, batch)
        key = self.split_heads(key, self.num_key_heads, batch)
        value = self.split_heads(value, self.num_key_heads, batch)
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        context, _ = self.attend(query, ops.swapaxes(key, 2, 3), value, bias)
        return self.project(context)

    @property
    def state_names(self):
        """Names of the layer's tensors in the state."""
        return kv_cache().layer_names

    def first_state(self, batch, slots):
        """The layer's KV cache with free slots only; `slots` as the layout starts with."""
        return kv_cache().start_layer(self, batch, slots)

    def grow(self, cache, length):
        """Add `length` free slots to the layer's KV cache."""
        return kv_cache().grow_layer(cache, length)

    def step(self, x, cache, bias, rotation=None):
        """Read one token per sentence.

        Args:
            x: `(batch, dim)`.
            cache: The layer's tensors of the KV cache.
            bias: `(batch, 1 or num_heads, 1, slots)`: a large negative number at free slots.
            rotation: `positions.rotation` of this token's position, with rotary positions.

        Returns:
            `(batch, dim)`, and the cache with this token.
        """
        query, key, value = self._split(x)
        query = self.split_heads_of_token(query, self.num_heads)
        key = self.split_heads_of_token(key, self.num_key_heads)
        value = self.split_heads_of_token(value, self.num_key_heads)
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        layout = kv_cache()
        cache = layout.append(cache, key, value)
        return self.project(layout.attend(self, query, cache, bias)), cache

    def _split(self, x):
        """Query, scaled, key and value: `(rows, dim)` and twice `(rows, key_dim)`."""
        x = self.query_key_value(x)
        return ops.split(x * ops.convert_to_tensor([self.scale], x.dtype), self.parts, axis=-1)


class CrossAttention(MultiHeadAttention):
    """Attention of the decoder over the encoder's outputs."""

    def __init__(self, dim, num_heads, num_key_heads, **kwargs):
        super().__init__(dim, num_heads, num_key_heads, **kwargs)
        self.query = layers.Dense(dim, name="query")
        self.key_value = layers.Dense(
            2 * self.key_dim,
            kernel_initializer=_glorot_of_parts(2 * self.key_dim / dim),
            name="key_value",
        )

    def build(self, shape):
        super().build(shape)
        self.query.build(shape)
        self.key_value.build(shape)

    def keys_values(self, memory, batch):
        """Encoder outputs to keys, transposed as scores need them, and values: once per source."""
        keys, values = ops.split(self.key_value(memory), 2, axis=-1)
        keys = ops.reshape(keys, (batch, -1, self.num_key_heads, self.head_dim))
        values = self.split_heads(values, self.num_key_heads, batch)
        return ops.transpose(keys, (0, 2, 3, 1)), values

    def call(self, x, keys_values, bias, *, batch):
        """Attend from all positions at once.

        Args:
            x: `(batch * length, dim)`.
            keys_values: The result of `keys_values`.
            bias: As in `attend`.
            batch: Number of sentences.

        Returns:
            `(batch * length, dim)`, and the weights as `attend` returns them.
        """
        return self._over(
            keys_values, bias, self.split_heads(self._query(x), self.num_heads, batch)
        )

    def step(self, x, keys_values, bias):
        """`call` for one token per sentence, `x (batch, dim)`."""
        return self._over(
            keys_values, bias, self.split_heads_of_token(self._query(x), self.num_heads)
        )

    def _over(self, keys_values, bias, query):
        context, weights = self.attend(query, *keys_values, bias)
        return self.project(context), weights

    def _query(self, x):
        return self.query(x) * self.head_dim**-0.5


def _glorot_of_parts(parts):
    """Glorot uniform for a kernel of `parts` square kernels side by side.

    As one kernel its limit would be sqrt(6 / (1 + parts) dim), too small for each part.
    """
    return keras.initializers.VarianceScaling(
        scale=(1 + parts) / 2, mode="fan_avg", distribution="uniform"
    )
