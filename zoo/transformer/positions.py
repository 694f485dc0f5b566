"""How a Transformer knows the order of tokens: four ways.

| `positions` | what it does | source |
|---|---|---|
| `"sinusoidal"` | is added to embeddings | Vaswani et al. 2017, section 3.5 |
| `"learned"` | is added to embeddings, from a table | Gehring et al. 2017, https://arxiv.org/abs/1705.03122 |
| `"relative"` | is added to scores of self-attention, by distance | Raffel et al. 2020 (T5), https://arxiv.org/abs/1910.10683, section 2.1 |
| `"rotary"` | turns queries and keys of self-attention | Su et al. 2021, https://arxiv.org/abs/2104.09864 |
"""

import math

from keras import layers, ops

POSITIONS = ("sinusoidal", "learned", "relative", "rotary")


def sinusoidal_encoding(position, dim):
    """Positions `(n,)` to their encodings `(n, dim)`: Vaswani et al. 2017, section 3.5.

    PE(pos, 2i) = sin(pos / 10000^(2i/dim)), PE(pos, 2i+1) = cos of the same, written as a sine a
    quarter turn on: no table, so no greatest length.
    """
    frequency = [10000.0 ** (-(i - i % 2) / dim) for i in range(dim)]
    phase = [math.pi / 2 * (i % 2) for i in range(dim)]
    angle = ops.expand_dims(ops.cast(position, "float32"), 1) * ops.convert_to_tensor([frequency])
    return ops.sin(angle + ops.convert_to_tensor([phase]))


def rotation(position, head_dim):
    """Positions `(n,)` to the cosines and sines of their angles, `(n, head_dim / 2)` each.

    The angle of pair i at position p is p / 10000^(2i/head_dim) (equation 15).
    """
    frequency = [10000.0 ** (-2 * i / head_dim) for i in range(head_dim // 2)]
    angle = ops.expand_dims(ops.cast(position, "float32"), 1) * ops.convert_to_tensor([frequency])
    return ops.cos(angle), ops.sin(angle)


def rotate(x, turn):
    """Turns each pair of `x` `(…, length, head_dim)`, where i and i + head_dim / 2 are a pair.

    Which two are a pair is a matter of the order of weights; halves can be taken without a copy.
    """
    cosine, sine = (ops.cast(part, x.dtype) for part in turn)
    first, second = ops.split(x, 2, axis=-1)
    return ops.concatenate(
        [first * cosine - second * sine, second * cosine + first * sine], axis=-1
    )


class RelativeBias(layers.Layer):
    """T5's learned biases: one a head and bucket of distances, near ones finer than far ones.

    Args:
        num_heads: Heads of attention.
        bidirectional: Whether keys may stand after the query; each side then has half the buckets.
    """

    num_buckets = 32
    max_distance = 128  # from here on all distances are one bucket

    def __init__(self, num_heads, bidirectional, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        distances = range(-self.max_distance, self.max_distance + 1)
        self.buckets = [self.bucket(distance, bidirectional) for distance in distances]

    def build(self, _=None):
        self.table = self.add_weight(name="table", shape=(self.num_buckets, self.num_heads))

    @classmethod
    def bucket(cls, distance, bidirectional):
        """The bucket of a key `distance` places after its query (before it, where negative)."""
        num_buckets, start = cls.num_buckets, 0
        if bidirectional:
            num_buckets //= 2
            start = num_buckets if distance > 0 else 0
        else:
            distance = min(distance, 0)
        distance, num_exact = abs(distance), num_buckets // 2
        if distance < num_exact:
            return start + distance
        # num_exact buckets more, as wide as the logarithm has them.
        part = math.log(distance / num_exact) / math.log(cls.max_distance / num_exact)
        return start + min(num_exact + int(part * (num_buckets - num_exact)), num_buckets - 1)

    def call(self, query, key):
        """Positions `(queries,)` and `(keys,)` to biases `(1, num_heads, queries, keys)`."""
        distance = ops.expand_dims(key, 0) - ops.expand_dims(query, 1)
        distance = ops.clip(distance, -self.max_distance, self.max_distance) + self.max_distance
        of_distance = ops.take(self.table, ops.convert_to_tensor(self.buckets, "int32"), axis=0)
        biases = ops.take(of_distance, ops.reshape(distance, (-1,)), axis=0)
        biases = ops.reshape(biases, (*ops.shape(distance), self.num_heads))
        return ops.cast(ops.expand_dims(ops.transpose(biases, (2, 0, 1)), 0), self.compute_dtype)
