"""The Transformer's layers: of the encoder, of the decoder, and what they are made of."""

from keras import layers, ops

from ..layers.dropout import Dropout
from ..layers.normalization import NORMS
from .attention import CrossAttention, SelfAttention
from .ssru import SSRU

ACTIVATIONS = ("relu", "gelu", "swiglu")


class EncoderLayer(layers.Layer):
    """Self-attention and a feed-forward layer, each with a residual and a normalization.

    Args:
        dim: Size of activations.
        feed_forward_dim: Inner size of the feed-forward layer.
        num_heads: Heads of queries.
        num_key_heads: Heads of keys and values.
        activation: One of ACTIVATIONS.
        norm: A name in NORMS.
        norm_first: Normalize before each sub-layer; False: after each residual.
        dropout: Rate, on each sub-layer's output and in the feed-forward layer.
    """

    def __init__(
        self,
        dim,
        feed_forward_dim,
        *,
        num_heads,
        num_key_heads,
        activation,
        norm,
        norm_first,
        dropout,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.norm_first = norm_first
        self.self_attention = self.self_attention_layer(dim, num_heads, num_key_heads)
        self.feed_forward = FeedForward(
            dim, feed_forward_dim, activation, dropout, name="feed_forward"
        )
        self.self_attention_norm = NORMS[norm](name="self_attention_norm")
        self.feed_forward_norm = NORMS[norm](name="feed_forward_norm")
        self.dropout = Dropout(dropout, name="dropout")

    def self_attention_layer(self, dim, num_heads, num_key_heads):
        """What reads the layer's own sequence."""
        return SelfAttention(dim, num_heads, num_key_heads, name="self_attention")

    def build(self, shape):
        for sub_layer in (
            self.self_attention,
            self.feed_forward,
            self.self_attention_norm,
            self.feed_forward_norm,
        ):
            sub_layer.build(shape)

    def call(self, x, bias, turn, *, batch, training=False):
        """`x` `(batch * length, dim)`; `bias` broadcasts to `(batch, heads, length, length)`."""
        x = self.residual(
            x,
            self.self_attention_norm,
            lambda y: self.self_attention(y, bias, turn, batch=batch),
            training,
        )
        return self.residual(x, self.feed_forward_norm, self.feed_forward, training)

    def residual(self, x, norm, sub_layer, training=False):
        """x + sub_layer(norm(x)) in pre-norm, norm(x + sub_layer(x)) in post-norm."""
        if self.norm_first:
            return x + self.dropout(sub_layer(norm(x)), training=training)
        return norm(x + self.dropout(sub_layer(x), training=training))


class DecoderLayer(EncoderLayer):
    """An encoder layer with attention over the encoder's outputs in its middle.

    Args:
        decoder: `"attention"`, or `"ssru"` for a recurrence in self-attention's place.
    """

    def __init__(self, dim, *args, num_heads, num_key_heads, norm, decoder, **kwargs):
        self.decoder = decoder
        heads = {"num_heads": num_heads, "num_key_heads": num_key_heads}
        super().__init__(dim, *args, norm=norm, **heads, **kwargs)
        self.cross_attention = CrossAttention(dim, **heads, name="cross_attention")
        self.cross_attention_norm = NORMS[norm](name="cross_attention_norm")

    def self_attention_layer(self, dim, num_heads, num_key_heads):
        if self.decoder == "ssru":
            return SSRU(dim, name="ssru")
        return super().self_attention_layer(dim, num_heads, num_key_heads)

    def build(self, shape):
        super().build(shape)
        self.cross_attention.build(shape)
        self.cross_attention_norm.build(shape)

    def call(self, x, bias, turn, memory, source_bias, *, batch, training=False):
        """`EncoderLayer.call` over `keys_values` too; also the weights of cross-attention."""
        x = self.residual(
            x,
            self.self_attention_norm,
            lambda y: self.self_attention(y, bias, turn, batch=batch),
            training,
        )
        return self._rest(
            x, lambda y: self.cross_attention(y, memory, source_bias, batch=batch), training
        )

    def step(self, x, state, bias, turn, memory, source_bias):
        """`call` for one token a sentence, `x (batch, dim)`, after those that `state` holds."""

        def self_attention(y):
            nonlocal state
            y, state = self.self_attention.step(y, state, bias, turn)
            return y

        x = self.residual(x, self.self_attention_norm, self_attention)
        x, weights = self._rest(x, lambda y: self.cross_attention.step(y, memory, source_bias))
        return x, state, weights

    def _rest(self, x, attend, training=False):
        weights = None

        def cross_attention(y):
            nonlocal weights
            y, weights = attend(y)
            return y

        x = self.residual(x, self.cross_attention_norm, cross_attention, training)
        return self.residual(x, self.feed_forward_norm, self.feed_forward, training), weights


class FeedForward(layers.Layer):
    """Vaswani et al. 2017, equation 2, and two variants.

    | activation | of x | source |
    |---|---|---|
    | `"relu"` | max(0, x W1 + b1) W2 + b2 | Vaswani et al. 2017, equation 2 |
    | `"gelu"` | GELU(x W1 + b1) W2 + b2, GELU by its tanh form | Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415 |
    | `"swiglu"` | (swish(x W + b) * (x V + c)) W2 + b2 | Shazeer 2020, https://arxiv.org/abs/2002.05202, equation 6 |
    """

    def __init__(self, dim, inner_dim, activation, dropout, **kwargs):
        super().__init__(**kwargs)
        self.activation = activation
        self.inner_dim = inner_dim
        # SwiGLU's W and V are one product.
        self.inner = layers.Dense(inner_dim * (2 if activation == "swiglu" else 1), name="inner")
        self.outer = layers.Dense(dim, name="outer")
        self.dropout = Dropout(dropout, name="dropout")

    def build(self, shape):
        self.inner.build(shape)
        self.outer.build((None, self.inner_dim))

    # `export` replaces this where a runtime has no GELU of its own.
    gelu = staticmethod(lambda x: ops.gelu(x, approximate=True))

    def call(self, x, training=False):
        x = self.inner(x)
        if self.activation == "swiglu":
            gate, x = ops.split(x, 2, axis=-1)
            x = ops.silu(gate) * x
        else:
            x = ops.relu(x) if self.activation == "relu" else self.gelu(x)
        return self.outer(self.dropout(x, training=training))
