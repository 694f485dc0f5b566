"""Attention: Bahdanau's and Luong's over the encoder's outputs, Vaswani's in many heads.

Each is written twice over the same weights: for a sequence of queries at once (training), and for
one query a sentence (a step on a device).
"""

import keras
from keras import layers, ops

from ..layers.softmax import attention_weights
from .positions import rotate


def pushed(room, new, axis):
    """A room of slots along `axis` with all moved on by one, and a new one as the last.

    Two copies of a small tensor: no slot's number is needed to write it.
    """
    if room.shape[axis] == 1:
        return new  # no tensor is ever empty
    rest = (slice(None),) * axis + (slice(1, None),)
    return ops.concatenate([room[rest], new], axis=axis)


class MultiHeadAttention(layers.Layer):
    """What self- and cross-attention share: heads, and the output projection.

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2.2. With fewer heads of keys and
    values than of queries it is grouped-query attention (Ainslie et al. 2023,
    https://arxiv.org/abs/2305.13245): query head h reads key head h // (num_heads / num_key_heads).

    Args:
        dim: Size of activations.
        num_heads: Heads of queries.
        num_key_heads: Heads of keys and of values; divides `num_heads`.
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

    def heads(self, x, num_heads, batch):
        """`(batch * length, dim)` to `(batch, num_heads, length, head_dim)`."""
        x = ops.reshape(x, (batch, -1, num_heads, self.head_dim))
        return ops.transpose(x, (0, 2, 1, 3))

    def heads_of_one(self, x, num_heads):
        """`heads` for one token a sentence, where nothing needs to move in memory."""
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
            weights = attention_weights(ops.matmul(query, keys) + bias)
            return ops.matmul(weights, values), weights
        # The heads that share keys are rows of one product.
        batch, _, length, _ = ops.shape(query)
        query = ops.reshape(query, (-1, *self._grouped(length), self.head_dim))
        weights = attention_weights(ops.matmul(query, keys) + self._grouped_bias(bias, length))
        context = ops.matmul(weights, values)
        context = ops.reshape(context, (-1, self.num_heads, length, self.head_dim))
        return context, ops.reshape(weights, (batch, self.num_heads, length, ops.shape(keys)[3]))

    def _grouped(self, length):
        """Key heads, and rows of each: `length` of each query head that reads it."""
        return self.num_key_heads, self.num_heads // self.num_key_heads * length

    def _grouped_bias(self, bias, length):
        if bias.shape[1:3] == (1, 1) or self.num_heads == self.num_key_heads:
            return bias
        sentences, _, _, key_length = ops.shape(bias)
        bias = ops.broadcast_to(bias, (sentences, self.num_heads, length, key_length))
        return ops.reshape(bias, (sentences, *self._grouped(length), key_length))

    def project(self, context):
        """The output projection of a context, to `(batch * length, dim)`."""
        if context.shape[2] != 1:
            context = ops.transpose(context, (0, 2, 1, 3))
        return self.output_projection(ops.reshape(context, (-1, self.num_heads * self.head_dim)))


class SelfAttention(MultiHeadAttention):
    """Attention of a sequence over itself; query, key and value come of one product."""

    state_names = ("self_keys", "self_values", "new_keys_values")
    grows = True

    def __init__(self, dim, num_heads, num_key_heads, **kwargs):
        super().__init__(dim, num_heads, num_key_heads, **kwargs)
        sizes = [dim, self.key_dim, self.key_dim]
        self.query_key_value = layers.Dense(
            sum(sizes),
            kernel_initializer=_glorot_of_parts(sum(sizes) / dim),
            name="query_key_value",
        )
        # Over all three, before they part: so the converter takes it into the weights.
        self.scale = [self.head_dim**-0.5] * dim + [1.0] * (2 * self.key_dim)
        # Three equal parts are an op that more runtimes make fast.
        self.parts = 3 if num_heads == num_key_heads else [dim, dim + self.key_dim]

    def build(self, shape):
        super().build(shape)
        self.query_key_value.build(shape)

    def call(self, x, bias, turn=None, *, batch):
        """`x` `(batch * length, dim)`; `bias` as in `attend`; `turn` of positions, if rotary."""
        query, key, value = self._split(x)
        query = self.heads(query, self.num_heads, batch)
        key = self.heads(key, self.num_key_heads, batch)
        value = self.heads(value, self.num_key_heads, batch)
        if turn is not None:
            query, key = rotate(query, turn), rotate(key, turn)
        context, _ = self.attend(query, ops.swapaxes(key, 2, 3), value, bias)
        return self.project(context)

    def first_state(self, batch, slots):
        """Keys and values of `slots` empty slots, and a room of one: see `step`."""
        empty = self._empty(batch, self.num_key_heads, slots)
        return [empty, empty, self._empty(batch, 2 * self.num_key_heads, 1)]

    def grow(self, cache, length):
        """The cache with what its room holds among the old, and a new room of `length` slots."""
        *old, room = cache
        new = ops.split(room, 2, axis=1)
        old = [ops.concatenate(pair, axis=2) for pair in zip(old, new, strict=True)]
        return [*old, self._empty(ops.shape(room)[0], 2 * self.num_key_heads, length)]

    def _empty(self, batch, num_heads, slots):
        return ops.zeros((batch, num_heads, slots, self.head_dim), self.compute_dtype)

    def step(self, x, cache, bias, turn=None):
        """One token further, as products and sums: a matrix product would pack all of the cache.

        Args:
            x: `(batch, dim)`.
            cache: Keys and values of what was said before there was this room, each `(batch,
                num_key_heads, slots, head_dim)`, which are only read; and the room, `(batch,
                2 num_key_heads, room, head_dim)`, keys first, which `pushed` changes.
            bias: `(batch, 1 or num_heads, 1, slots + room)`, a large negative number at empty slots.
            turn: `rotation` of this token's position, if rotary.

        Returns:
            `(batch, dim)`, and the cache.
        """
        keys, values, room = cache
        query, key, value = self.of_one(x, turn)
        room = pushed(room, ops.concatenate([key, value], axis=1), 2)
        new_keys, new_values = ops.split(room, 2, axis=1)
        if self.num_heads == self.num_key_heads:
            scores = [ops.sum(query * k, axis=3, keepdims=True) for k in (keys, new_keys)]
            scores = ops.transpose(ops.concatenate(scores, axis=2), (0, 1, 3, 2))
            weights = ops.transpose(attention_weights(scores + bias), (0, 1, 3, 2))
            size = ops.shape(room)[2]
            context = ops.sum(weights[:, :, :-size] * values, axis=2, keepdims=True)
            context += ops.sum(weights[:, :, -size:] * new_values, axis=2, keepdims=True)
        else:
            all_keys = ops.swapaxes(ops.concatenate([keys, new_keys], axis=2), 2, 3)
            all_values = ops.concatenate([values, new_values], axis=2)
            context, _ = self.attend(query, all_keys, all_values, bias)
        return self.project(context), [keys, values, room]

    def of_one(self, x, turn=None):
        """Query, key and value of one token a sentence, `x (batch, dim)`, by heads, turned if rotary."""
        query, key, value = self._split(x)
        query = self.heads_of_one(query, self.num_heads)
        key = self.heads_of_one(key, self.num_key_heads)
        value = self.heads_of_one(value, self.num_key_heads)
        if turn is not None:
            query, key = rotate(query, turn), rotate(key, turn)
        return query, key, value

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
        """Encoder outputs to keys, transposed as scores need them, and values: once a sentence."""
        keys, values = ops.split(self.key_value(memory), 2, axis=-1)
        keys = ops.reshape(keys, (batch, -1, self.num_key_heads, self.head_dim))
        return ops.transpose(keys, (0, 2, 3, 1)), self.heads(values, self.num_key_heads, batch)

    def call(self, x, memory, bias, *, batch):
        """`x` `(batch * length, dim)` and `keys_values` to the same shape, and the weights."""
        return self._over(self.heads(self._query(x), self.num_heads, batch), memory, bias)

    def step(self, x, memory, bias):
        """`call` for one token a sentence, `x (batch, dim)`."""
        return self._over(self.heads_of_one(self._query(x), self.num_heads), memory, bias)

    def _over(self, query, memory, bias):
        context, weights = self.attend(query, *memory, bias)
        return self.project(context), weights

    def _query(self, x):
        return self.query(x) * self.head_dim**-0.5


def _glorot_of_parts(parts):
    """Glorot uniform for a kernel that holds `parts` square ones side by side.

    Taken as one kernel its limit would be sqrt(6 / (1 + parts) dim), too small for each part.
    """
    return keras.initializers.VarianceScaling(
        scale=(1 + parts) / 2, mode="fan_avg", distribution="uniform"
    )
