"""The Transformer: Vaswani et al. 2017, "Attention Is All You Need".

Activations are `(rows, dim)` throughout, where a row is one token of one sentence: every product
is one matrix multiplication, in training, in the encoder and in a step on a device.
"""

import math

import keras
from keras import ops

from ..checks import layer_pair, plain, require, require_one_of, require_rate, require_sizes
from ..contract import PADDING_BIAS, Seq2Seq
from ..layers.dropout import Dropout
from ..layers.embedding import TokenEmbedding, token_embeddings
from ..layers.normalization import NORMS
from ..shapes import built, dynamic_one
from .attention import pushed
from .layers import ACTIVATIONS, DecoderLayer, EncoderLayer
from .positions import POSITIONS, RelativeBias, rotation, sinusoidal_encoding

DECODERS = ("attention", "ssru")


def transformer(
    *,
    vocabulary_size,
    source_vocabulary_size=None,
    num_layers=6,
    model_dim=512,
    num_heads=8,
    num_key_heads=None,
    feed_forward_dim=2048,
    activation="relu",
    norm="layer",
    norm_first=True,
    positions="sinusoidal",
    max_positions=None,
    decoder="attention",
    embeddings="shared",
    dropout=0.1,
    pad_id=0,
    start_id=2,
    end_id=3,
    name="transformer",
):
    """Builds a Transformer (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    Multi-head scaled dot-product attention (equation 1), feed-forward layers (equation 2), a residual
    and a normalization round each. The defaults are the paper's base model, but for pre-norm, which
    trains without care; the preset `"transformer_base"` is post-norm too.

    Args:
        vocabulary_size: Number of token ids, of the target where the two sides differ.
        source_vocabulary_size: Number of the source's token ids. Default: `vocabulary_size`.
        num_layers: Layers of the encoder and of the decoder, or a pair (encoder, decoder): a deep
            encoder and a shallow decoder, `(6, 2)`, are the faster for the same quality (Kasai et
            al. 2021, https://arxiv.org/abs/2006.10369), since a step runs the decoder only.
        model_dim: Size of activations and embeddings (the paper's d_model).
        num_heads: Attention heads (h); divides `model_dim`.
        num_key_heads: Heads of keys and values, shared by groups of `num_heads / num_key_heads`
            query heads (grouped-query attention, Ainslie et al. 2023,
            https://arxiv.org/abs/2305.13245); 1 is multi-query. Default: `num_heads`.
        feed_forward_dim: Inner size of the feed-forward layers (d_ff).
        activation: In the feed-forward layers: `"relu"` (equation 2), `"gelu"` (Hendrycks and Gimpel
            2016) or `"swiglu"` (Shazeer 2020, https://arxiv.org/abs/2002.05202), which has a third
            matrix: for the parameters of the others take two thirds of the size.
        norm: `"layer"` (Ba et al. 2016) or `"rms"` (Zhang and Sennrich 2019,
            https://arxiv.org/abs/1910.07467).
        norm_first: Normalization before each sub-layer (pre-norm; Xiong et al. 2020,
            https://arxiv.org/abs/2002.04745). False: after each residual, as in the paper.
        positions: `"sinusoidal"` (section 3.5), `"learned"` (a table of `max_positions`),
            `"relative"` (T5's buckets, Raffel et al. 2020, https://arxiv.org/abs/1910.10683) or
            `"rotary"` (Su et al. 2021, https://arxiv.org/abs/2104.09864).
        max_positions: Most tokens of a source, and of a target with its start, with learned
            positions; only with these. A step beyond them reads the last one again.
        decoder: What a decoder layer reads the target with: `"attention"`, the paper's masked
            self-attention, or `"ssru"`, a recurrence whose step costs the same at any length (Kim et
            al. 2019, https://aclanthology.org/D19-5632).
        embeddings: `"shared"`: one table for source, target and output (section 3.4);
            `"shared_target"`: one for target and output; `"separate"`: three.
        dropout: Rate in [0, 1): on embeddings, on each sub-layer's output, inside the
            feed-forward layer.
        pad_id: Id of padding.
        start_id: Id that begins a target.
        end_id: Id that ends a source and a target.
        name: The model's name.

    Returns:
        A `Seq2Seq` model: `{"source": (batch, source_length), "target": (batch, target_length)}`
        to logits `(batch, target_length, vocabulary_size)`. Its attention (`return_attention=True`)
        is the last decoder layer's over the source, the mean of all heads.

    Raises:
        ValueError: An option is out of its range; the message names it.

    Example:
        >>> import numpy as np
        >>> from seq2lite import zoo
        >>> model = zoo.transformer(vocabulary_size=50, num_layers=(2, 1), model_dim=16, num_heads=2,
        ...                         feed_forward_dim=32, decoder="ssru")
        >>> source, target = np.array([[5, 6, 3]]), np.array([[2, 7]])
        >>> tuple(model({"source": source, "target": target}).shape)
        (1, 2, 50)
    """
    return Transformer(
        vocabulary_size=vocabulary_size,
        source_vocabulary_size=source_vocabulary_size,
        num_layers=num_layers,
        model_dim=model_dim,
        num_heads=num_heads,
        num_key_heads=num_key_heads,
        feed_forward_dim=feed_forward_dim,
        activation=activation,
        norm=norm,
        norm_first=norm_first,
        positions=positions,
        max_positions=max_positions,
        decoder=decoder,
        embeddings=embeddings,
        dropout=dropout,
        pad_id=pad_id,
        start_id=start_id,
        end_id=end_id,
        name=name,
    )


@keras.saving.register_keras_serializable("seq2lite")
class Transformer(Seq2Seq):
    """See `transformer`, its builder."""

    has_attention = True

    def __init__(
        self,
        *,
        num_layers,
        model_dim,
        num_heads,
        num_key_heads,
        feed_forward_dim,
        activation,
        norm,
        norm_first,
        positions,
        max_positions,
        decoder,
        embeddings,
        dropout,
        **vocabulary_and_name,
    ):
        super().__init__(
            num_layers=num_layers,
            model_dim=model_dim,
            num_heads=num_heads,
            num_key_heads=num_key_heads,
            feed_forward_dim=feed_forward_dim,
            activation=activation,
            norm=norm,
            norm_first=norm_first,
            positions=positions,
            max_positions=max_positions,
            decoder=decoder,
            embeddings=embeddings,
            dropout=dropout,
            **vocabulary_and_name,
        )
        num_encoder_layers, num_decoder_layers = layer_pair(num_layers)
        num_key_heads = num_heads if num_key_heads is None else num_key_heads
        model_dim, num_heads, num_key_heads, feed_forward_dim, max_positions, dropout = plain(
            (model_dim, num_heads, num_key_heads, feed_forward_dim, max_positions, dropout)
        )
        require_sizes(
            model_dim=model_dim,
            num_heads=num_heads,
            num_key_heads=num_key_heads,
            feed_forward_dim=feed_forward_dim,
        )
        require(
            "num_heads",
            num_heads,
            f"a divisor of model_dim={model_dim}",
            lambda n: model_dim % n == 0,
        )
        require(
            "num_key_heads",
            num_key_heads,
            f"a divisor of num_heads={num_heads}",
            lambda n: num_heads % n == 0,
        )
        require_one_of("activation", activation, ACTIVATIONS)
        require_one_of("norm", norm, NORMS)
        require_one_of("positions", positions, POSITIONS)
        require_one_of("decoder", decoder, DECODERS)
        require("norm_first", norm_first, "True or False", lambda v: isinstance(v, bool))
        require_rate("dropout", dropout)
        if positions == "learned":
            require_sizes(max_positions=max_positions)
        else:
            require(
                "max_positions",
                max_positions,
                f"None with positions={positions!r}, which have no limit",
                lambda n: n is None,
            )
        pairs = {"sinusoidal": model_dim, "rotary": model_dim // num_heads}.get(positions, 0)
        require(
            "model_dim",
            model_dim,
            "even (a sine and a cosine a pair)"
            + (f" in each of num_heads={num_heads}" if positions == "rotary" else ""),
            lambda _: pairs % 2 == 0,
        )
        self.model_dim = model_dim
        self.head_dim = model_dim // num_heads
        self.norm_first = norm_first
        self.positions = positions
        self.max_positions = max_positions
        self.source_embedding, self.target_embedding, self.output_projection = token_embeddings(
            embeddings,
            source_vocabulary_size=self.source_vocabulary_size,
            vocabulary_size=self.vocabulary_size,
            dim=model_dim,
            output_dim=model_dim,
        )
        self.source_positions = self.target_positions = None
        if positions == "learned":
            self.source_positions, self.target_positions = (
                built(TokenEmbedding(max_positions, model_dim, name=name), None)
                for name in ("source_positions", "target_positions")
            )
        self.encoder_bias = self.decoder_bias = None
        if positions == "relative":
            self.encoder_bias = built(RelativeBias(num_heads, True, name="encoder_bias"), None)
            if decoder == "attention":
                self.decoder_bias = built(RelativeBias(num_heads, False, name="decoder_bias"), None)
        shape = (None, model_dim)
        options = {
            "num_heads": num_heads,
            "num_key_heads": num_key_heads,
            "activation": activation,
            "norm": norm,
            "norm_first": norm_first,
            "dropout": dropout,
        }
        self.encoder_layers = [
            built(EncoderLayer(model_dim, feed_forward_dim, **options, name=f"encoder_{i}"), shape)
            for i in range(num_encoder_layers)
        ]
        options["decoder"] = decoder
        self.decoder_layers = [
            built(DecoderLayer(model_dim, feed_forward_dim, **options, name=f"decoder_{i}"), shape)
            for i in range(num_decoder_layers)
        ]
        if norm_first:
            self.encoder_norm = built(NORMS[norm](name="encoder_norm"), shape)
            self.decoder_norm = built(NORMS[norm](name="decoder_norm"), shape)
        self.dropout = Dropout(dropout, name="dropout")

    def call(self, inputs, training=False, return_attention=False):
        """Logits of every next token, given the true ones before it (teacher forcing)."""
        target = ops.cast(inputs["target"], "int32")
        memory, source_bias = self._memory(inputs["source"], training)
        batch, length = ops.shape(target)
        x = self._embed(
            self.target_embedding, self.target_positions, target, self.target_padding, training
        )
        place = ops.arange(length, dtype="int32")
        bias = self._causal_bias(place)
        if self.decoder_bias is not None:
            bias = bias + self.decoder_bias(place, place)
        turn = self._turn(place)
        for layer in self.decoder_layers:
            keys_values = layer.cross_attention.keys_values(memory, batch)
            x, weights = layer(
                x, bias, turn, keys_values, source_bias, batch=batch, training=training
            )
        logits = ops.reshape(self._logits(x), (batch, length, self.vocabulary_size))
        return (logits, ops.mean(weights, axis=1)) if return_attention else logits

    def encode(self, source):
        """int32 ids `(batch, source_length)` to the state of a decoder that has read nothing.

        State, of each decoder layer `i`: `cross_keys_i (batch, num_key_heads, head_dim,
        source_length)` and `cross_values_i (batch, num_key_heads, source_length, head_dim)` stay.
        `self_keys_i` and `self_values_i`, both `(batch, num_key_heads, slots, head_dim)`, are of what
        was said before: a step reads them, `grow` makes them longer. `new_keys_values_i (batch,
        2 num_key_heads, room, head_dim)` is the room that a step changes: it moves all slots on by
        one and writes the last. In a decoder of SSRUs there is `cell_i (batch, model_dim)` instead
        of the three, which changes. Of all layers: `self_bias (batch, 1, 1, slots)` and `new_bias
        (batch, 1, 1, room)`, a large negative number at empty slots, change with them; `source_bias
        (batch, 1, 1, source_length)` stays; `position (batch,)` int32 counts.

        There are one old slot, empty, and a room of one: no tensor is ever without elements.
        """
        source = ops.cast(source, "int32")
        memory, source_bias = self._memory(source, training=False)
        batch = ops.shape(source)[0]
        state = {"position": ops.zeros((batch,), "int32"), "source_bias": source_bias}
        slots = dynamic_one(source)
        if self._grows:
            state["self_bias"] = self._empty(batch, slots)
            state["new_bias"] = self._empty(batch, 1)
        for i, layer in enumerate(self.decoder_layers):
            self._set(state, i, layer.self_attention.first_state(batch, slots))
            keys, values = layer.cross_attention.keys_values(memory, batch)
            state[f"cross_keys_{i}"], state[f"cross_values_{i}"] = keys, values
        return state

    @property
    def shared_state(self):
        """What of the state does not depend on the tokens that were said: see `Seq2Seq`."""
        layers = range(len(self.decoder_layers))
        cross = {f"cross_{name}_{i}" for name in ("keys", "values") for i in layers}
        return {"source_bias", "self_bias", "new_bias", "position", *cross}

    def grow(self, state, length):
        """The state with what was said in its room among the old, and a new room for `length`."""
        if not self._grows:
            return state
        state = dict(state)
        bias = ops.concatenate([state["self_bias"], state["new_bias"]], axis=3)
        state["self_bias"], state["new_bias"] = bias, self._empty(ops.shape(bias)[0], length)
        for i, layer in enumerate(self.decoder_layers):
            self._set(state, i, layer.self_attention.grow(self._get(state, i), length))
        return state

    def step(self, token, state, return_attention=False):
        """`decode_step` into a free slot of the room: no tensor of the state changes its shape."""
        token = ops.cast(token, "int32")
        state = dict(state)
        position = state["position"]
        bias = None
        if self._grows:
            new_bias = state["new_bias"]
            state["new_bias"] = new_bias = pushed(new_bias, ops.zeros_like(new_bias[..., :1]), 3)
            bias = ops.concatenate([state["self_bias"], new_bias], axis=3)
            if self.decoder_bias is not None:
                bias = bias + self.decoder_bias(position[:1], self._places(bias, position[0]))
        turn = self._turn(position[:1])
        x = self._add_position(
            self.target_embedding.tokens(token, self.target_padding),
            position,
            self.target_positions,
        )
        for i, layer in enumerate(self.decoder_layers):
            memory = state[f"cross_keys_{i}"], state[f"cross_values_{i}"]
            x, after, weights = layer.step(
                x, self._get(state, i), bias, turn, memory, state["source_bias"]
            )
            self._set(state, i, after)
        state["position"] = position + 1
        logits = self._logits(x)
        if return_attention:
            return logits, state, ops.mean(weights, axis=1)[:, 0]
        return logits, state

    def _empty(self, batch, slots):
        return ops.full((batch, 1, 1, slots), PADDING_BIAS, self.compute_dtype)

    @staticmethod
    def _places(bias, last):
        """Positions `(slots,)` of the slots that `bias` says are full, which are in their order."""
        is_full = ops.cast(ops.equal(ops.reshape(bias[:1], (-1,)), 0), "int32")
        return last + ops.cumsum(is_full) - ops.sum(is_full)

    @property
    def _grows(self):
        return self.decoder_layers[0].self_attention.grows

    def _get(self, state, i):
        """What decoder layer `i` remembers of the target."""
        return [state[f"{name}_{i}"] for name in self.decoder_layers[i].self_attention.state_names]

    def _set(self, state, i, tensors):
        names = self.decoder_layers[i].self_attention.state_names
        state |= {f"{name}_{i}": tensor for name, tensor in zip(names, tensors, strict=True)}

    def _memory(self, source, training):
        """Encoder outputs `(batch * source_length, dim)`, bias `(batch, 1, 1, source_length)`."""
        source = ops.cast(source, "int32")
        batch, length = ops.shape(source)
        source_bias = ops.reshape(self.padding_bias(source), (batch, 1, 1, length))
        x = self._embed(self.source_embedding, self.source_positions, source, self.pad_id, training)
        place = ops.arange(length, dtype="int32")
        bias = source_bias
        if self.encoder_bias is not None:
            bias = bias + self.encoder_bias(place, place)
        turn = self._turn(place)
        for layer in self.encoder_layers:
            x = layer(x, bias, turn, batch=batch, training=training)
        return (self.encoder_norm(x) if self.norm_first else x), source_bias

    def _embed(self, embedding, positions, ids, pad_id, training):
        """Ids `(batch, length)` to embeddings with their positions `(batch * length, dim)`."""
        length = ops.shape(ids)[1]
        if self.max_positions is not None and isinstance(length, int):
            require(
                "max_positions",
                self.max_positions,
                f"at least the {length} tokens of a sequence",
                lambda n: length <= n,
            )
        x = embedding.sequences(ids, pad_id)
        x = self._add_position(x, ops.arange(length, dtype="int32"), positions)
        return self.dropout(ops.reshape(x, (-1, self.model_dim)), training=training)

    def _add_position(self, x, position, positions):
        """Embeddings, scaled as in section 3.4, with what `positions` adds to them."""
        x = x * math.sqrt(self.model_dim)
        if self.positions == "sinusoidal":
            return x + ops.cast(sinusoidal_encoding(position, self.model_dim), x.dtype)
        if self.positions == "learned":
            # Beyond the table only where a graph's length is not known beforehand, and where steps
            # are taken by hand.
            return x + positions(ops.minimum(position, self.max_positions - 1))
        return x

    def _turn(self, position):
        return rotation(position, self.head_dim) if self.positions == "rotary" else None

    def _causal_bias(self, place):
        """`(1, 1, length, length)`, a large negative number at what is yet to come."""
        future = ops.greater(ops.expand_dims(place, 0), ops.expand_dims(place, 1))
        return ops.cast(future, self.compute_dtype)[None, None] * PADDING_BIAS

    def _logits(self, x):
        return self.output_projection(self.decoder_norm(x) if self.norm_first else x)
