"""Options of an RNN Seq2Seq, checked before any weight is made, and the sizes that follow."""

from dataclasses import dataclass
from numbers import Integral

from ..checks import is_number, layer_pair, require, require_fields, require_one_of, require_sizes
from ..layers.embedding import check_sharing
from .recurrence import CELLS

SCORES = ("additive", "dot", "general", "concat")
ATTENTIONS = (None, "fixed", *SCORES)
QUERIES = ("previous", "current", "bottom")
BRIDGES = ("dense", "backward", "copy", "zeros")
READ_OUTS = ("tanh", "maxout", None)


@dataclass(kw_only=True)
class RNNOptions:
    """The arguments of `rnn_seq2seq` with the same names, checked and with defaults filled in.

    Attributes:
        has_attention: Whether the attention is one of the four scores.
        directions: For each encoder layer, the number of directions and the size of each.
        encoder_dims: Input size of each encoder layer, then the output size of the last, the memory.
        bridge_layers: For each decoder layer, the encoder layer whose last state it starts with.
        bridge_dims: Sizes of those states.
        context_dim: Size of the context; 0 without one.
        decoder_dims: Input size of each decoder layer.
        output_dim: Input size of the output projection.
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
    scale_embeddings: bool = False  # absent from the files of older models
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
        # From the top, if one stack is deeper.
        first = num_encoder_layers - num_decoder_layers
        self.bridge_layers = [max(0, first + i) for i in range(num_decoder_layers)]
        self.bridge_dims = [
            self.directions[i][1] if self.bridge == "backward" else self.encoder_dims[i + 1]
            for i in self.bridge_layers
        ]
        self._check_bridge()

        memory_dim = self.encoder_dims[-1]
        if self.attention == "dot":
            expected = f"hidden_dim={self.hidden_dim} with attention='dot'"
            require(memory_dim == self.hidden_dim, expected, encoder_dim=self.encoder_dim)
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
        require_fields(
            self,
            sizes=("embedding_dim", "hidden_dim", "encoder_dim"),
            flags=("reverse_source", "input_feeding", "scale_embeddings"),
            choices={
                "cell": CELLS,
                "bridge": BRIDGES,
                "attention": ATTENTIONS,
                "read_out": READ_OUTS,
            },
        )
        if self.read_out is None:
            expected = "None with read_out=None"
            require(self.read_out_dim is None, expected, read_out_dim=self.read_out_dim)
        else:
            require_sizes(read_out_dim=self.read_out_dim)

    def _check_attention(self):
        """The logits must depend on the source, and a read-out that is fed back must exist."""
        query, read_out = self.query, self.read_out
        if self.has_attention:
            require_one_of("query", query, QUERIES)
        else:
            require(query is None, f"None with attention={self.attention!r}", query=query)
        if self.input_feeding:
            expected = "False unless query='current' and the read-out is 'tanh' or 'maxout'"
            fits = query == "current" and read_out is not None
            require(fits, expected, input_feeding=True)
        if query == "current":
            expected = (
                "'tanh' or 'maxout' with query='current': only the read-out reads its context"
            )
            require(read_out is not None, expected, read_out=read_out)
        if self.attention is None:
            expected = "'dense', 'backward' or 'copy' with attention=None: only the bridge reads the source"
            require(self.bridge != "zeros", expected, bridge=self.bridge)

    def _directions(self, num_layers):
        expected = "True, False or 'first'"
        is_option = isinstance(self.bidirectional, bool) or self.bidirectional == "first"
        require(is_option, expected, bidirectional=self.bidirectional)
        if self.bidirectional == "first":
            return [(2, self.encoder_dim)] + [(1, self.encoder_dim)] * (num_layers - 1)
        if not self.bidirectional:
            return [(1, self.encoder_dim)] * num_layers
        expected = "even in a bidirectional encoder (half for each direction)"
        require(self.encoder_dim % 2 == 0, expected, encoder_dim=self.encoder_dim)
        return [(2, self.encoder_dim // 2)] * num_layers

    def _check_residual(self):
        start = self.residual_start
        if start is None:
            return
        expected = "None or an integer of 2 or more (the first layer reads embeddings)"
        require(is_number(start, Integral) and start >= 2, expected, residual_start=start)
        dims = self.encoder_dims
        fits = all(a == b for a, b in zip(dims[start - 1 :], dims[start:], strict=False))
        expected = (
            "a layer whose input and output have the same size; the encoder's layers have sizes "
            f"{dims[1:]}"
        )
        require(fits, expected, residual_start=start)

    def _check_bridge(self):
        if self.bridge == "backward":
            expected = "'dense', 'copy' or 'zeros' if an encoder layer reads forward only"
            has_backward = all(self.directions[i][0] == 2 for i in self.bridge_layers)
            require(has_backward, expected, bridge=self.bridge)
        if self.bridge == "copy":
            for dim in self.bridge_dims:
                expected = (
                    f"'dense', 'backward' or 'zeros' if the size of an encoder layer ({dim}) is not "
                    f"hidden_dim={self.hidden_dim}"
                )
                require(dim == self.hidden_dim, expected, bridge=self.bridge)
