"""Options of a Transformer, checked before any weight is made."""

from dataclasses import dataclass

from ..checks import (
    is_positive_integer,
    layer_pair,
    require,
    require_bool,
    require_one_of,
    require_rate,
    require_sizes,
)
from ..layers.normalization import NORMS
from .positions import POSITIONS

ACTIVATIONS = ("relu", "gelu", "swiglu")
DECODERS = ("attention", "ssru")


@dataclass(kw_only=True)
class TransformerOptions:
    """The arguments of `transformer` with the same names, checked and with defaults filled in."""

    num_layers: int | tuple
    model_dim: int
    num_heads: int
    num_key_heads: int | None
    feed_forward_dim: int
    activation: str
    norm: str
    norm_first: bool
    positions: str
    max_positions: int | None
    decoder: str
    embeddings: str
    dropout: float

    def __post_init__(self):
        self.num_layers = layer_pair(self.num_layers)
        if self.num_key_heads is None:
            self.num_key_heads = self.num_heads
        require_sizes(
            model_dim=self.model_dim,
            num_heads=self.num_heads,
            num_key_heads=self.num_key_heads,
            feed_forward_dim=self.feed_forward_dim,
        )
        for option, of in (("num_heads", "model_dim"), ("num_key_heads", "num_heads")):
            whole = getattr(self, of)
            expected = f"a divisor of {of}={whole}"
            require(option, getattr(self, option), expected, lambda n, whole=whole: whole % n == 0)
        require_one_of("activation", self.activation, ACTIVATIONS)
        require_one_of("norm", self.norm, NORMS)
        require_one_of("positions", self.positions, POSITIONS)
        require_one_of("decoder", self.decoder, DECODERS)
        require_bool(norm_first=self.norm_first)
        require_rate("dropout", self.dropout)
        if self.positions == "learned":
            expected = "a positive int with positions='learned'"
            require("max_positions", self.max_positions, expected, is_positive_integer)
        else:
            expected = f"None with positions={self.positions!r}, which have no limit"
            require("max_positions", self.max_positions, expected, lambda n: n is None)
        self._check_pairs()

    def _check_pairs(self):
        """Sinusoids and rotations work on pairs of numbers."""
        dim = {"sinusoidal": self.model_dim, "rotary": self.head_dim}.get(self.positions, 0)
        expected = "even"
        if self.positions == "rotary":
            expected = f"a multiple of {2 * self.num_heads} (2 * num_heads)"
        expected += f" with positions={self.positions!r}"
        require("model_dim", self.model_dim, expected, lambda _: dim % 2 == 0)

    @property
    def head_dim(self):
        """Size of a head."""
        return self.model_dim // self.num_heads

    @property
    def attention_sizes(self):
        """Arguments of `MultiHeadAttention`."""
        return self.model_dim, self.num_heads, self.num_key_heads
