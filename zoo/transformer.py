"""The Transformer: Vaswani et al. 2017, "Attention Is All You Need".

Activations are `(rows, dim)` throughout, where a row is one token of one sentence: every product
is one matrix multiplication, in training, in the encoder and in a step on a device.
"""

import math

import keras
from keras import layers, ops

from .attention import CrossAttention, SelfAttention
from .contract import (
    PADDING_BIAS,
    Seq2Seq,
    added,
    first_length,
    layer_pair,
    require,
    require_rate,
    require_sizes,
)
from .embedding import embeddings


def transformer(
    *,
    vocabulary_size,
    num_layers=6,
    model_dim=512,
    num_heads=8,
    feed_forward_dim=2048,
    dropout=0.1,
    norm_first=True,
    tie_embeddings=True,
    pad_id=0,
    start_id=2,
    end_id=3,
    name="transformer",
):
    """Builds a Transformer (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    Sinusoidal positions (section 3.5), multi-head scaled dot-product attention (equation 1),
    ReLU feed-forward layers (equation 2).

    Args:
        vocabulary_size: Number of token ids, one vocabulary for source and target.
        num_layers: Layers of the encoder and of the decoder, or a pair (encoder, decoder).
        model_dim: Size of activations and embeddings (the paper's d_model).
        num_heads: Attention heads; divides `model_dim`.
        feed_forward_dim: Inner size of the feed-forward layers (the paper's d_ff).
        dropout: Rate in [0, 1): on embeddings, on each sub-layer's output, inside the
            feed-forward layer.
        norm_first: Layer normalization before each sub-layer (pre-norm; Xiong et al. 2020,
            https://arxiv.org/abs/2002.04745), which trains without care. False: after it, as in
            the paper.
        tie_embeddings: One table for source, target and output (section 3.4). False: three.
        pad_id: Id of padding.
        start_id: Id that begins a target.
        end_id: Id that ends a source and a target.
        name: The model's name.

    Returns:
        A `Seq2Seq` model: `{"source": (batch, source_length), "target": (batch, target_length)}`
        to logits `(batch, target_length, vocabulary_size)`.

    Raises:
        ValueError: An option is out of its range; the message names it.

    Example:
        >>> import numpy as np
        >>> from seq2lite import zoo
        >>> model = zoo.transformer(vocabulary_size=50, num_layers=1, model_dim=16, num_heads=2,
        ...                         feed_forward_dim=32)
        >>> source, target = np.array([[5, 6, 3]]), np.array([[2, 7]])
        >>> model({"source": source, "target": target}).shape
        TensorShape([1, 2, 50])
    """
    return Transformer(
        vocabulary_size=vocabulary_size,
        num_layers=num_layers,
        model_dim=model_dim,
        num_heads=num_heads,
        feed_forward_dim=feed_forward_dim,
        dropout=dropout,
        norm_first=norm_first,
        tie_embeddings=tie_embeddings,
        pad_id=pad_id,
        start_id=start_id,
        end_id=end_id,
        name=name,
    )


@keras.saving.register_keras_serializable("seq2lite")
class Transformer(Seq2Seq):
    """See `transformer`, its builder."""

    def __init__(
        self,
        *,
        vocabulary_size,
        num_layers,
        model_dim,
        num_heads,
        feed_forward_dim,
        dropout,
        norm_first,
        tie_embeddings,
        **special_ids_and_name,
    ):
        super().__init__(
            vocabulary_size=vocabulary_size,
            num_layers=num_layers,
            model_dim=model_dim,
            num_heads=num_heads,
            feed_forward_dim=feed_forward_dim,
            dropout=dropout,
            norm_first=norm_first,
            tie_embeddings=tie_embeddings,
            **special_ids_and_name,
        )
        num_encoder_layers, num_decoder_layers = layer_pair(num_layers)
        require_sizes(model_dim=model_dim, num_heads=num_heads, feed_forward_dim=feed_forward_dim)
        require(
            "num_heads",
            num_heads,
            f"a divisor of model_dim={model_dim}",
            lambda n: model_dim % n == 0,
        )
        require("model_dim", model_dim, "even (a sine and a cosine a pair)", lambda n: n % 2 == 0)
        require_rate("dropout", dropout)
        self.model_dim = model_dim
        self.norm_first = norm_first
        self.source_embedding, self.target_embedding, self.output_projection = embeddings(
            vocabulary_size, model_dim, tie_embeddings
        )
        shape = (None, model_dim)
        sizes = (model_dim, num_heads, feed_forward_dim, dropout, norm_first)
        self.encoder_layers = [
            added(EncoderLayer(*sizes, name=f"encoder_{i}"), shape)
            for i in range(num_encoder_layers)
        ]
        self.decoder_layers = [
            added(DecoderLayer(*sizes, name=f"decoder_{i}"), shape)
            for i in range(num_decoder_layers)
        ]
        if norm_first:
            self.encoder_norm = added(LayerNormalization(name="encoder_norm"), shape)
            self.decoder_norm = added(LayerNormalization(name="decoder_norm"), shape)
        self.dropout = layers.Dropout(dropout)

    def call(self, inputs, training=False):
        """Logits of every next token, given the true ones before it (teacher forcing)."""
        target = ops.cast(inputs["target"], "int32")
        memory, source_bias = self._memory(inputs["source"], training)
        batch, length = ops.shape(target)
        x = self._embed(self.target_embedding, target, training)
        causal_bias = self._causal_bias(length)
        for layer in self.decoder_layers:
            keys, values = layer.cross_attention.keys_values(memory, batch)
            x = layer(x, causal_bias, keys, values, source_bias, batch=batch, training=training)
        logits = self._logits(x)
        return ops.reshape(logits, (batch, length, self.vocabulary_size))

    def encode(self, source):
        """int32 ids `(batch, source_length)` to the state of a decoder that has read nothing.

        State, of each decoder layer `i`: `self_keys_i` and `self_values_i`, both
        `(batch, num_heads, slots, head_dim)`, grow; `cross_keys_i`
        `(batch, num_heads, head_dim, source_length)` and `cross_values_i`
        `(batch, num_heads, source_length, head_dim)` stay. Of all: `self_bias (batch, 1, slots)`,
        a large negative number at slots not yet written, grows; `source_bias
        (batch, 1, 1, source_length)` stays; `position (batch,)` int32 counts.

        There is always a free slot, the next token's: no tensor is ever empty.
        """
        source = ops.cast(source, "int32")
        memory, source_bias = self._memory(source, training=False)
        batch = ops.shape(source)[0]
        state = {
            "position": ops.zeros((batch,), "int32"),
            "source_bias": source_bias,
        }
        slots = first_length(source)
        state["self_bias"] = ops.full((batch, 1, slots), PADDING_BIAS, self.compute_dtype)
        for i, layer in enumerate(self.decoder_layers):
            cross = layer.cross_attention
            cache = ops.zeros((batch, cross.num_heads, slots, cross.head_dim), self.compute_dtype)
            state[f"self_keys_{i}"] = state[f"self_values_{i}"] = cache
            keys, values = cross.keys_values(memory, batch)
            state[f"cross_keys_{i}"], state[f"cross_values_{i}"] = keys, values
        return state

    def decode_step(self, token, state):
        """One token further: int32 ids `(batch,)` and the state to logits and the next state."""
        logits, state = self.step(token, state)
        return logits, self.grow(state, 1)

    def grow(self, state, length):
        """The state with `length` more free slots."""
        state = dict(state)
        state["self_bias"] = ops.pad(
            state["self_bias"], [[0, 0], [0, 0], [0, length]], constant_values=PADDING_BIAS
        )
        for i in range(len(self.decoder_layers)):
            for name in (f"self_keys_{i}", f"self_values_{i}"):
                state[name] = ops.pad(state[name], [[0, 0], [0, 0], [0, length], [0, 0]])
        return state

    def step(self, token, state):
        """`decode_step` into a free slot: no tensor of the state changes its shape."""
        token = ops.cast(token, "int32")
        state = dict(state)
        slot = state["position"][0]  # the same in all rows
        written = ops.zeros_like(state["self_bias"][:, :, :1])
        state["self_bias"] = ops.slice_update(state["self_bias"], [0, 0, slot], written)
        x = self._add_position(self.target_embedding(token), state["position"])
        for i, layer in enumerate(self.decoder_layers):
            cache = state[f"self_keys_{i}"], state[f"self_values_{i}"]
            memory = state[f"cross_keys_{i}"], state[f"cross_values_{i}"]
            x, cache = layer.step(x, cache, slot, state["self_bias"], memory, state["source_bias"])
            state[f"self_keys_{i}"], state[f"self_values_{i}"] = cache
        state["position"] = state["position"] + 1
        return self._logits(x), state

    def _memory(self, source, training):
        """Encoder outputs `(batch * source_length, dim)`, bias `(batch, 1, 1, source_length)`."""
        source = ops.cast(source, "int32")
        batch, length = ops.shape(source)
        source_bias = ops.reshape(self.padding_bias(source), (batch, 1, 1, length))
        x = self._embed(self.source_embedding, source, training)
        for layer in self.encoder_layers:
            x = layer(x, source_bias, batch=batch, training=training)
        return (self.encoder_norm(x) if self.norm_first else x), source_bias

    def _embed(self, embedding, ids, training):
        """Ids `(batch, length)` to embeddings with their positions `(batch * length, dim)`."""
        batch, length = ops.shape(ids)
        x = ops.reshape(embedding(ops.reshape(ids, (-1,))), (batch, length, self.model_dim))
        x = self._add_position(x, ops.arange(length, dtype="int32"))
        return self.dropout(ops.reshape(x, (-1, self.model_dim)), training=training)

    def _add_position(self, x, position):
        encoding = sinusoidal_encoding(position, self.model_dim)
        return x * math.sqrt(self.model_dim) + ops.cast(encoding, x.dtype)

    def _causal_bias(self, length):
        position = ops.arange(length)
        future = ops.greater(ops.expand_dims(position, 0), ops.expand_dims(position, 1))
        return ops.cast(future, self.compute_dtype) * PADDING_BIAS

    def _logits(self, x):
        return self.output_projection(self.decoder_norm(x) if self.norm_first else x)


def sinusoidal_encoding(position, dim):
    """Positions `(n,)` to their encodings `(n, dim)`: Vaswani et al. 2017, section 3.5.

    PE(pos, 2i) = sin(pos / 10000^(2i/dim)), PE(pos, 2i+1) = cos of the same, written as a sine a
    quarter turn on: no table, so no greatest length.
    """
    frequency = [10000.0 ** (-(i - i % 2) / dim) for i in range(dim)]
    phase = [math.pi / 2 * (i % 2) for i in range(dim)]
    angle = ops.expand_dims(ops.cast(position, "float32"), 1) * ops.convert_to_tensor([frequency])
    return ops.sin(angle + ops.convert_to_tensor([phase]))


class LayerNormalization(layers.Layer):
    """Ba et al. 2016, https://arxiv.org/abs/1607.06450, over the last axis.

    Written out, because Keras's own becomes eleven ops of a TFLite file and this eight; a decoder
    of four layers has thirteen of them, and a step is made of small ops: 6 % of its time.
    """

    epsilon = 1e-5

    def build(self, shape):
        self.gamma = self.add_weight(name="gamma", shape=(shape[-1],), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(shape[-1],), initializer="zeros")

    def call(self, x):
        dtype = x.dtype
        x = ops.cast(x, "float32")
        x = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(x * x, axis=-1, keepdims=True)
        scale = ops.rsqrt(variance + self.epsilon) * ops.cast(self.gamma, "float32")
        return ops.cast(x * scale + ops.cast(self.beta, "float32"), dtype)


class EncoderLayer(layers.Layer):
    """Self-attention and a feed-forward layer, each with a residual and a normalization."""

    def __init__(self, dim, num_heads, feed_forward_dim, dropout, norm_first, **kwargs):
        super().__init__(**kwargs)
        self.norm_first = norm_first
        self.self_attention = SelfAttention(dim, num_heads)
        self.feed_forward = FeedForward(dim, feed_forward_dim, dropout)
        self.self_attention_norm = LayerNormalization()
        self.feed_forward_norm = LayerNormalization()
        self.dropout = layers.Dropout(dropout)

    def build(self, shape):
        for sub_layer in (
            self.self_attention,
            self.feed_forward,
            self.self_attention_norm,
            self.feed_forward_norm,
        ):
            sub_layer.build(shape)

    def call(self, x, bias, *, batch, training=False):
        """`x` `(batch * length, dim)`; `bias` broadcasts to `(batch, heads, length, length)`."""
        x = self.residual(
            x,
            self.self_attention_norm,
            lambda y: self.self_attention(y, bias, batch=batch),
            training,
        )
        return self.residual(x, self.feed_forward_norm, self.feed_forward, training)

    def residual(self, x, norm, sub_layer, training=False):
        """x + sub_layer(norm(x)) in pre-norm, norm(x + sub_layer(x)) in post-norm."""
        if self.norm_first:
            return x + self.dropout(sub_layer(norm(x)), training=training)
        return norm(x + self.dropout(sub_layer(x), training=training))


class DecoderLayer(EncoderLayer):
    """An encoder layer with attention over the encoder's outputs in its middle."""

    def __init__(self, dim, num_heads, *args, **kwargs):
        super().__init__(dim, num_heads, *args, **kwargs)
        self.cross_attention = CrossAttention(dim, num_heads)
        self.cross_attention_norm = LayerNormalization()

    def build(self, shape):
        super().build(shape)
        self.cross_attention.build(shape)
        self.cross_attention_norm.build(shape)

    def call(self, x, causal_bias, keys, values, source_bias, *, batch, training=False):
        x = self.residual(
            x,
            self.self_attention_norm,
            lambda y: self.self_attention(y, causal_bias, batch=batch),
            training,
        )
        x = self.residual(
            x,
            self.cross_attention_norm,
            lambda y: self.cross_attention(y, keys, values, source_bias, batch=batch),
            training,
        )
        return self.residual(x, self.feed_forward_norm, self.feed_forward, training)

    def step(self, x, cache, slot, self_bias, memory, source_bias):
        """`call` for one token a sentence, `x (batch, dim)`, with the cache of those before."""

        def self_attention(y):
            nonlocal cache
            y, cache = self.self_attention.step(y, cache, slot, self_bias)
            return y

        x = self.residual(x, self.self_attention_norm, self_attention)
        x = self.residual(
            x,
            self.cross_attention_norm,
            lambda y: self.cross_attention.step(y, memory, source_bias),
        )
        return self.residual(x, self.feed_forward_norm, self.feed_forward), cache


class FeedForward(layers.Layer):
    """FFN(x) = max(0, x W1 + b1) W2 + b2 (equation 2)."""

    def __init__(self, dim, inner_dim, dropout, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.Dense(inner_dim, activation="relu", name="inner")
        self.outer = layers.Dense(dim, name="outer")
        self.dropout = layers.Dropout(dropout)

    def build(self, shape):
        self.inner.build(shape)
        self.outer.build((None, self.inner.units))

    def call(self, x, training=False):
        return self.outer(self.dropout(self.inner(x), training=training))
