"""Encoder layer, decoder layer and feed-forward layer of the Transformer."""

import math

from keras import layers, ops

from ..layers.dropout import Dropout
from ..layers.normalization import NORMS
from ..lowering import current_lowering
from .attention import CrossAttention, SelfAttention
from .ssru import SSRU


class EncoderLayer(layers.Layer):
    """Self-attention and a feed-forward layer, each with a residual and a normalization.

    Args:
        options: `TransformerOptions`.
    """

    def __init__(self, options, **kwargs):
        super().__init__(**kwargs)
        self.norm_first = options.norm_first
        self.self_attention = self.self_attention_layer(options)
        self.feed_forward = FeedForward(options, name="feed_forward")
        self.self_attention_norm = NORMS[options.norm](name="self_attention_norm")
        self.feed_forward_norm = NORMS[options.norm](name="feed_forward_norm")
        self.dropout = Dropout(options.dropout, name="dropout")

    def self_attention_layer(self, options):
        """The layer that reads the layer's own sequence."""
        return SelfAttention(*options.attention_sizes, name="self_attention")

    def build(self, shape):
        self.self_attention.build(shape)
        self.feed_forward.build(shape)
        self.self_attention_norm.build(shape)
        self.feed_forward_norm.build(shape)

    def call(self, x, bias, rotation, *, batch, training=False):
        """Read entire sequences.

        Args:
            x: `(batch * length, dim)`.
            bias: Broadcasts to `(batch, num_heads, length, length)`.
            rotation: `positions.rotation` of all positions; None without rotary positions.
            batch: Number of sentences.
            training: Whether dropout is applied.

        Returns:
            `(batch * length, dim)`.
        """
        y = self.before(x, self.self_attention_norm)
        y = self.self_attention(y, bias, rotation, batch=batch)
        x = self.after(x, y, self.self_attention_norm, training)
        return self.feed(x, training)

    def before(self, x, norm):
        """The input of a sub-layer: normalized in pre-norm."""
        return norm(x) if self.norm_first else x

    def after(self, x, y, norm, training=False):
        """The sum of a sub-layer's input and output: normalized in post-norm."""
        x = x + self.dropout(y, training=training)
        return x if self.norm_first else norm(x)

    def feed(self, x, training=False):
        """The feed-forward sub-layer."""
        y = self.feed_forward(self.before(x, self.feed_forward_norm), training=training)
        return self.after(x, y, self.feed_forward_norm, training)


class DecoderLayer(EncoderLayer):
    """An encoder layer with cross-attention between its two sub-layers."""

    def __init__(self, options, **kwargs):
        super().__init__(options, **kwargs)
        self.cross_attention = CrossAttention(*options.attention_sizes, name="cross_attention")
        self.cross_attention_norm = NORMS[options.norm](name="cross_attention_norm")

    def self_attention_layer(self, options):
        if options.decoder == "ssru":
            return SSRU(options.model_dim, name="ssru")
        return super().self_attention_layer(options)

    def build(self, shape):
        super().build(shape)
        self.cross_attention.build(shape)
        self.cross_attention_norm.build(shape)

    def call(self, x, bias, rotation, keys_values, source_bias, *, batch, training=False):
        """`EncoderLayer.call` with cross-attention; also returns its weights."""
        y = self.before(x, self.self_attention_norm)
        y = self.self_attention(y, bias, rotation, batch=batch)
        x = self.after(x, y, self.self_attention_norm, training)
        y = self.before(x, self.cross_attention_norm)
        y, weights = self.cross_attention(y, keys_values, source_bias, batch=batch)
        x = self.after(x, y, self.cross_attention_norm, training)
        return self.feed(x, training), weights

    def step(self, x, state, bias, rotation, keys_values, source_bias):
        """`call` for one token per sentence, `x (batch, dim)`; also takes and returns the state."""
        y = self.before(x, self.self_attention_norm)
        y, state = self.self_attention.step(y, state, bias, rotation)
        x = self.after(x, y, self.self_attention_norm)
        y = self.before(x, self.cross_attention_norm)
        y, weights = self.cross_attention.step(y, keys_values, source_bias)
        x = self.after(x, y, self.cross_attention_norm)
        return self.feed(x), state, weights


class FeedForward(layers.Layer):
    """Two linear maps with an activation between them.

    | activation | output for x | source |
    |---|---|---|
    | `"relu"` | max(0, x W1 + b1) W2 + b2 | Vaswani et al. 2017, equation 2 |
    | `"gelu"` | GELU(x W1 + b1) W2 + b2, with GELU's tanh approximation | Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415 |
    | `"swiglu"` | (swish(x W + b) * (x V + c)) W2 + b2 | Shazeer 2020, https://arxiv.org/abs/2002.05202, equation 6 |

    Args:
        options: `TransformerOptions`.
    """

    def __init__(self, options, **kwargs):
        super().__init__(**kwargs)
        self.activation = options.activation
        self.inner_dim = options.feed_forward_dim
        # W and V of SwiGLU are one product.
        inner_dim = self.inner_dim * (2 if self.activation == "swiglu" else 1)
        self.inner = layers.Dense(inner_dim, name="inner")
        self.outer = layers.Dense(options.model_dim, name="outer")
        self.dropout = Dropout(options.dropout, name="dropout")

    def build(self, shape):
        self.inner.build(shape)
        self.outer.build((None, self.inner_dim))

    def call(self, x, training=False):
        x = self.inner(x)
        if self.activation == "swiglu":
            gate, x = ops.split(x, 2, axis=-1)
            x = ops.silu(gate) * x
        else:
            x = ops.relu(x) if self.activation == "relu" else _gelu(x)
        return self.outer(self.dropout(x, training=training))


def _gelu(x):
    """GELU by its tanh approximation, or that with a sigmoid: x (1 + tanh(u)) / 2 = x sigmoid(2 u)."""
    if current_lowering().gelu_op:
        return ops.gelu(x, approximate=True)
    return x * ops.sigmoid(x * (2 * math.sqrt(2 / math.pi) * (1 + 0.044715 * x * x)))
