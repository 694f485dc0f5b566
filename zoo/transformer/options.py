"""Options of a Transformer, checked before any weight is made."""

from dataclasses import dataclass

from ..checks import is_positive_integer, layer_pair, require, require_fields
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
        require_fields(
            self,
            sizes=("model_dim", "num_heads", "num_key_heads", "feed_forward_dim"),
            flags=("norm_first",),
            choices={
                "activation": ACTIVATIONS,
                "norm": NORMS,
                "positions": POSITIONS,
                "decoder": DECODERS,
            },
        )
        for option, of in (("num_heads", "model_dim"), ("num_key_heads", "num_heads")):
            whole, value = getattr(self, of), getattr(self, option)
            require(whole % value == 0, f"a divisor of {of}={whole}", **{option: value})
        if self.positions == "learned":
            expected = "a positive int with positions='learned'"
            require(
                is_positive_integer(self.max_positions), expected, max_positions=self.max_positions
            )
        else:
            expected = f"None with positions={self.positions!r}, which have no limit"
            require(self.max_positions is None, expected, max_positions=self.max_positions)
        self._check_pairs()

    def _check_pairs(self):
        """Sinusoids and rotations work on pairs of numbers."""
        dim = {"sinusoidal": self.model_dim, "rotary": self.head_dim}.get(self.positions, 0)
        expected = "even"
        if self.positions == "rotary":
            expected = f"a multiple of {2 * self.num_heads} (2 * num_heads)"
        expected += f" with positions={self.positions!r}"
        require(dim % 2 == 0, expected, model_dim=self.model_dim)

    @property
    def head_dim(self):
        """Size of a head."""
        return self.model_dim // self.num_heads

    @property
    def attention_sizes(self):
        """Arguments of `MultiHeadAttention`."""
        return self.model_dim, self.num_heads, self.num_key_heads
