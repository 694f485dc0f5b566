"""Positions of tokens in a Transformer, in four ways.

| `positions` | method | source |
|---|---|---|
| `"sinusoidal"` | added to embeddings | Vaswani et al. 2017, section 3.5 |
| `"learned"` | added to embeddings, from a table | Gehring et al. 2017, https://arxiv.org/abs/1705.03122 |
| `"relative"` | added to the scores of self-attention, by distance | Raffel et al. 2020 (T5), https://arxiv.org/abs/1910.10683, section 2.1 |
| `"rotary"` | rotates queries and keys of self-attention | Su et al. 2021, https://arxiv.org/abs/2104.09864 |
"""

import math

from keras import layers, ops, tree

from ..lowering import current_lowering

POSITIONS = ("sinusoidal", "learned", "relative", "rotary")


def sinusoidal_encoding(position, dim):
    """Encodings `(n, dim)` of positions `(n,)`: Vaswani et al. 2017, section 3.5.

    PE(pos, 2i) = sin(pos / 10000^(2i/dim)), and PE(pos, 2i+1) is its cosine, computed as a sine a
    quarter turn later. Computed and not looked up, so that no length is too long.
    """
    frequency = [10000.0 ** (-(i - i % 2) / dim) for i in range(dim)]
    phase = [math.pi / 2 * (i % 2) for i in range(dim)]
    angle = ops.expand_dims(ops.cast(position, "float32"), 1) * ops.convert_to_tensor([frequency])
    return ops.sin(angle + ops.convert_to_tensor([phase]))


def rotation(position, head_dim):
    """Cosines and sines of the angles of positions `(n,)`, each `(n, head_dim / 2)`.

    The angle of pair i at position p is p / 10000^(2i/head_dim) (equation 15).
    """
    frequency = [10000.0 ** (-2 * i / head_dim) for i in range(head_dim // 2)]
    angle = ops.expand_dims(ops.cast(position, "float32"), 1) * ops.convert_to_tensor([frequency])
    return ops.cos(angle), ops.sin(angle)


def rotate(x, rotation):
    """Rotate each pair (i, i + head_dim / 2) of `x (..., length, head_dim)`.

    Any pairing is equivalent up to the order of weights; halves need no copy.
    """
    cosine, sine = (ops.cast(part, x.dtype) for part in rotation)
    first, second = ops.split(x, 2, axis=-1)
    return ops.concatenate(
        [first * cosine - second * sine, second * cosine + first * sine], axis=-1
    )


def encode_step(encoding, position, dim):
    """`encoding(position, dim)` for the positions of one step.

    With a KV cache of static size the encodings of all its positions are constants of the file.
    """
    slots = current_lowering().cache_slots
    if slots is None:
        return encoding(position, dim)
    tables = encoding(ops.arange(slots, dtype="int32"), dim)
    return tree.map_structure(lambda table: current_lowering().take_rows(table, position), tables)


class RelativeBias(layers.Layer):
    """T5's learned biases: one per head and bucket of distances; near distances have finer buckets.

    Args:
        num_heads: Number of attention heads.
        bidirectional: Whether keys may stand after the query; each side then has half the buckets.
    """

    num_buckets = 32
    max_distance = 128  # all distances from here on share a bucket

    def __init__(self, num_heads, bidirectional, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        distances = range(-self.max_distance, self.max_distance + 1)
        self.buckets = [self.bucket(distance, bidirectional) for distance in distances]

    def build(self, _=None):
        self.table = self.add_weight(name="table", shape=(self.num_buckets, self.num_heads))

    @classmethod
    def bucket(cls, distance, bidirectional):
        """Bucket of a key `distance` positions after its query (before it, if negative)."""
        num_buckets, start = cls.num_buckets, 0
        if bidirectional:
            num_buckets //= 2
            start = num_buckets if distance > 0 else 0
        else:
            distance = min(distance, 0)
        distance, num_exact = abs(distance), num_buckets // 2
        if distance < num_exact:
            return start + distance
        # The other buckets grow in width logarithmically.
        part = math.log(distance / num_exact) / math.log(cls.max_distance / num_exact)
        return start + min(num_exact + int(part * (num_buckets - num_exact)), num_buckets - 1)

    def call(self, query, key):
        """Biases `(1, num_heads, queries, keys)` of positions `(queries,)` and `(keys,)`."""
        distance = ops.expand_dims(key, 0) - ops.expand_dims(query, 1)
        distance = ops.clip(distance, -self.max_distance, self.max_distance) + self.max_distance
        of_distance = ops.take(self.table, ops.convert_to_tensor(self.buckets, "int32"), axis=0)
        biases = ops.take(of_distance, ops.reshape(distance, (-1,)), axis=0)
        biases = ops.reshape(biases, (*ops.shape(distance), self.num_heads))
        return ops.cast(ops.expand_dims(ops.transpose(biases, (2, 0, 1)), 0), self.compute_dtype)
