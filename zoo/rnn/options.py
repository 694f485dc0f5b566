"""What `rnn_seq2seq` is asked for: checked before a weight is made, and the sizes that follow."""

from dataclasses import dataclass
from numbers import Integral

from ..checks import is_number, layer_pair, require, require_one_of, require_rate, require_sizes
from ..layers.embedding import check_sharing
from .recurrence import CELLS

SCORES = ("additive", "dot", "general", "concat")


ATTENTIONS = (None, "fixed", *SCORES)


QUERIES = ("previous", "current", "bottom")


BRIDGES = ("dense", "backward", "copy", "zeros")


READ_OUTS = ("tanh", "maxout", None)


@dataclass(kw_only=True)
class RNNOptions:
    """The builder's arguments of the same names, with defaults that depend on others filled in.

    Attributes:
        directions: Of each encoder layer, the number of directions and the size of each.
        encoder_dims: What each encoder layer reads, and what the last one gives, which is memory.
        bridge_layers: Of each decoder layer, the encoder layer whose last state it begins with.
        bridge_dims: The sizes of those states.
        context_dim: Of the context; 0 where there is none.
        decoder_dims: What each decoder layer reads.
        output_dim: What the output projection takes.
    """

    cell: str
    num_layers: int | tuple
    embedding_dim: int
    hidden_dim: int
    encoder_dim: int | None
    bidirectional: bool | str
    reverse_source: bool
    residual_start: int | None
    bridge: str
    attention: str | None
    query: str | None
    input_feeding: bool
    read_out: str | None
    read_out_dim: int | None
    embeddings: str
    scale_embeddings: bool = False  # in models saved before it was an option
    dropout: float

    def __post_init__(self):
        num_encoder_layers, num_decoder_layers = layer_pair(self.num_layers)
        if self.encoder_dim is None:
            self.encoder_dim = self.hidden_dim
        if self.read_out is not None and self.read_out_dim is None:
            self.read_out_dim = self.embedding_dim
        self.has_attention = self.attention in SCORES
        if self.query is None and self.has_attention:
            self.query = "previous" if self.attention == "additive" else "current"
        self._check_each()
        self._check_attention()

        self.directions = self._directions(num_encoder_layers)
        self.encoder_dims = [self.embedding_dim, *(n * units for n, units in self.directions)]
        self._check_residual()
        # Top to top, where one stack is deeper.
        first = num_encoder_layers - num_decoder_layers
        self.bridge_layers = [max(0, first + i) for i in range(num_decoder_layers)]
        self.bridge_dims = [
            self.directions[i][1] if self.bridge == "backward" else self.encoder_dims[i + 1]
            for i in self.bridge_layers
        ]
        self._check_bridge()

        memory_dim = self.encoder_dims[-1]
        if self.attention == "dot":
            require(
                "encoder_dim",
                self.encoder_dim,
                f"hidden_dim={self.hidden_dim} with attention='dot'",
                lambda _: memory_dim == self.hidden_dim,
            )
        self.context_dim = 0 if self.attention is None else memory_dim
        first_dim, later_dim = self.embedding_dim, self.hidden_dim
        if self.attention == "fixed" or self.query in ("previous", "bottom"):
            first_dim += self.context_dim
        if self.input_feeding:
            first_dim += self.read_out_dim
        if self.query == "bottom":
            later_dim += self.context_dim
        self.decoder_dims = [first_dim, *[later_dim] * (num_decoder_layers - 1)]
        self.output_dim = self.hidden_dim if self.read_out is None else self.read_out_dim
        check_sharing(self.embeddings, self.embedding_dim, self.output_dim)

    def _check_each(self):
        require_one_of("cell", self.cell, CELLS)
        require_sizes(
            embedding_dim=self.embedding_dim,
            hidden_dim=self.hidden_dim,
            encoder_dim=self.encoder_dim,
        )
        for option in ("reverse_source", "input_feeding", "scale_embeddings"):
            value = getattr(self, option)
            require(option, value, "True or False", lambda v: isinstance(v, bool))
        require_rate("dropout", self.dropout)
        require_one_of("bridge", self.bridge, BRIDGES)
        require_one_of("attention", self.attention, ATTENTIONS)
        require_one_of("read_out", self.read_out, READ_OUTS)
        if self.read_out is None:
            what = "None with read_out=None"
            require("read_out_dim", self.read_out_dim, what, lambda n: n is None)
        else:
            require_sizes(read_out_dim=self.read_out_dim)

    def _check_attention(self):
        """The source must reach the logits, and what is fed must be there."""
        query, read_out = self.query, self.read_out
        if self.has_attention:
            require_one_of("query", query, QUERIES)
        else:
            what = f"None with attention={self.attention!r}"
            require("query", query, what, lambda q: q is None)
        if self.input_feeding:
            what = "False unless the query is 'current' and there is a read-out to feed"
            fits = query == "current" and read_out is not None
            require("input_feeding", True, what, lambda _: fits)
        if query == "current":
            what = "'tanh' or 'maxout' with query='current', whose context goes nowhere else"
            require("read_out", read_out, what, lambda r: r is not None)
        if self.attention is None:
            what = (
                "'dense', 'backward' or 'copy' with attention=None: nothing else knows the source"
            )
            require("bridge", self.bridge, what, lambda b: b != "zeros")

    def _directions(self, num_layers):
        require(
            "bidirectional",
            self.bidirectional,
            "True, False or 'first'",
            lambda b: isinstance(b, bool) or b == "first",
        )
        if self.bidirectional == "first":
            return [(2, self.encoder_dim)] + [(1, self.encoder_dim)] * (num_layers - 1)
        if not self.bidirectional:
            return [(1, self.encoder_dim)] * num_layers
        require(
            "encoder_dim",
            self.encoder_dim,
            "even in a bidirectional encoder (half for each direction)",
            lambda n: n % 2 == 0,
        )
        return [(2, self.encoder_dim // 2)] * num_layers

    def _check_residual(self):
        start = self.residual_start
        if start is None:
            return
        require(
            "residual_start",
            start,
            "None or an integer of 2 or more (the first layer reads embeddings)",
            lambda n: is_number(n, Integral) and n >= 2,
        )
        dims = self.encoder_dims
        fits = all(a == b for a, b in zip(dims[start - 1 :], dims[start:], strict=False))
        require(
            "residual_start",
            start,
            "a layer whose input is as wide as its output; the encoder's layers are of "
            f"sizes {dims[1:]}",
            lambda _: fits,
        )

    def _check_bridge(self):
        if self.bridge == "backward":
            require(
                "bridge",
                self.bridge,
                "'dense', 'copy' or 'zeros' where an encoder layer reads forward only",
                lambda _: all(self.directions[i][0] == 2 for i in self.bridge_layers),
            )
        if self.bridge == "copy":
            for dim in self.bridge_dims:
                require(
                    "bridge",
                    self.bridge,
                    f"another than 'copy' where an encoder layer's size ({dim}) is not "
                    f"hidden_dim={self.hidden_dim}",
                    lambda _, dim=dim: dim == self.hidden_dim,
                )
