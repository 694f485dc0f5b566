"""The Transformer: Vaswani et al. 2017, "Attention Is All You Need".

Activations are `(rows, dim)` throughout, where a row is one token of one sentence: every product
is one matrix multiplication, in training, in the encoder and in a step on a device.
"""

import math
from functools import partial

import keras
from keras import ops

from ..checks import require
from ..contract import Seq2Seq
from ..inputs import source_and_target, source_tensor, target_ids
from ..layers.dropout import Dropout
from ..layers.embedding import TokenEmbedding, token_embeddings
from ..layers.normalization import NORMS
from ..layers.softmax import mask_bias
from ..lowering import current_lowering
from ..shapes import built
from .cache import kv_cache
from .layers import DecoderLayer, EncoderLayer
from .options import TransformerOptions
from .positions import RelativeBias, encode_step, rotation, sinusoidal_encoding


@keras.saving.register_keras_serializable("seq2lite")
class Transformer(Seq2Seq):
    """See `transformer`, its builder."""

    has_attention = True

    def __init__(self, **arguments):
        super().__init__(**arguments)
        options = TransformerOptions(**self.options)
        self.model_dim, self.head_dim = options.model_dim, options.head_dim
        self.norm_first = options.norm_first
        self.positions, self.max_positions = options.positions, options.max_positions
        self.source_embedding, self.target_embedding, self.output_projection = token_embeddings(
            options.embeddings,
            source_vocabulary_size=self.source_vocabulary_size,
            vocabulary_size=self.vocabulary_size,
            dim=options.model_dim,
            output_dim=options.model_dim,
        )
        self.source_positions = self.target_positions = None
        if options.positions == "learned":
            self.source_positions, self.target_positions = (
                built(TokenEmbedding(options.max_positions, options.model_dim, name=name), None)
                for name in ("source_positions", "target_positions")
            )
        self.encoder_bias = self.decoder_bias = None
        if options.positions == "relative":
            heads = options.num_heads
            self.encoder_bias = built(RelativeBias(heads, True, name="encoder_bias"), None)
            if options.decoder == "attention":
                self.decoder_bias = built(RelativeBias(heads, False, name="decoder_bias"), None)
        shape = (None, options.model_dim)
        self.encoder_layers, self.decoder_layers = (
            [built(layer(options, name=f"{side}_{i}"), shape) for i in range(number)]
            for side, layer, number in zip(
                ("encoder", "decoder"),
                (EncoderLayer, DecoderLayer),
                options.num_layers,
                strict=True,
            )
        )
        if options.norm_first:
            self.encoder_norm = built(NORMS[options.norm](name="encoder_norm"), shape)
            self.decoder_norm = built(NORMS[options.norm](name="decoder_norm"), shape)
        self.dropout = Dropout(options.dropout, name="dropout")

    def call(self, inputs, training=False, return_attention=False):
        """Logits of every next token, given the true tokens before it (teacher forcing)."""
        source, target = source_and_target(self, inputs)
        memory, source_bias = self._read_source(source, training)
        batch, length = ops.shape(target)
        x = self._embed(
            target, self.target_embedding, self.target_positions, self.target_padding, training
        )
        position = ops.arange(length, dtype="int32")
        bias = self._causal_bias(position)
        if self.decoder_bias is not None:
            bias = bias + self.decoder_bias(position, position)
        angles = self._angles(position)
        for layer in self.decoder_layers:
            keys_values = layer.cross_attention.keys_values(memory, batch)
            x, weights = layer(
                x, bias, angles, keys_values, source_bias, batch=batch, training=training
            )
        logits = ops.reshape(self._project(x), (batch, length, self.vocabulary_size))
        return (logits, ops.mean(weights, axis=1)) if return_attention else logits

    def encode(self, source):
        """Return the state of the decoder before its first token.

        | tensor | shape | a step |
        |---|---|---|
        | `position` | int32 `(batch,)` | adds 1 |
        | `source_bias` | `(batch, 1, 1, source_length)` | reads it |
        | `cross_keys_i` | `(batch, num_key_heads, head_dim, source_length)` | reads it |
        | `cross_values_i` | `(batch, num_key_heads, source_length, head_dim)` | reads it |
        | those of the KV cache (`zoo/transformer/cache.py`) | | appends to it |
        | `cell_i`, in a decoder of SSRUs | `(batch, model_dim)` | changes it |

        `i` is the number of a decoder layer.

        Args:
            source: int32 ids `(batch, source_length)`.
        """
        source = source_tensor(self, source)
        memory, source_bias = self._read_source(source, training=False)
        batch = ops.shape(source)[0]
        state = {"position": ops.zeros((batch,), "int32"), "source_bias": source_bias}
        cache = kv_cache()
        slots = cache.start(source)
        if self._has_cache:
            state |= cache.start_shared(batch, slots, self.compute_dtype)
        for i, layer in enumerate(self.decoder_layers):
            self._set(state, i, layer.self_attention.first_state(batch, slots))
            keys, values = layer.cross_attention.keys_values(memory, batch)
            state[f"cross_keys_{i}"], state[f"cross_values_{i}"] = keys, values
        return state

    @property
    def shared_state(self):
        layers = range(len(self.decoder_layers))
        cross = {f"cross_{name}_{i}" for name in ("keys", "values") for i in layers}
        return {"source_bias", "position", *kv_cache().shared_names, *cross}

    def grow(self, state, length):
        """Add `length` free slots to the KV cache."""
        if not self._has_cache:
            return state
        state = state | kv_cache().grow_shared(state, length)
        for i, layer in enumerate(self.decoder_layers):
            self._set(state, i, layer.self_attention.grow(self._get(state, i), length))
        return state

    def step(self, token, state, return_attention=False):
        """Read one token into a free slot: no tensor of the state changes its shape."""
        token = target_ids(self, "token", token, None)
        state = dict(state)
        position = state["position"]
        bias = None
        if self._has_cache:
            cache = kv_cache()
            changed, bias = cache.advance(state)
            state |= changed
            if self.decoder_bias is not None:
                bias = bias + self.decoder_bias(*cache.positions(bias, position))
        place = self._clip(position, current_lowering().cache_slots)
        angles = self._angles(place[:1], partial(encode_step, rotation))
        x = self._add_positions(
            self.target_embedding.tokens(token, self.target_padding),
            place,
            self.target_positions,
            partial(encode_step, sinusoidal_encoding),
        )
        for i, layer in enumerate(self.decoder_layers):
            keys_values = state[f"cross_keys_{i}"], state[f"cross_values_{i}"]
            x, after, weights = layer.step(
                x, self._get(state, i), bias, angles, keys_values, state["source_bias"]
            )
            self._set(state, i, after)
        state["position"] = position + 1
        logits = self._project(x)
        if return_attention:
            return logits, state, ops.mean(weights, axis=1)[:, 0]
        return logits, state

    @property
    def _has_cache(self):
        return self.decoder_layers[0].self_attention.has_cache

    def _get(self, state, i):
        """The state's tensors of decoder layer `i` that it changes."""
        return [state[f"{name}_{i}"] for name in self.decoder_layers[i].self_attention.state_names]

    def _set(self, state, i, tensors):
        names = self.decoder_layers[i].self_attention.state_names
        state |= {f"{name}_{i}": tensor for name, tensor in zip(names, tensors, strict=True)}

    def _read_source(self, source, training):
        """Encoder outputs `(batch * source_length, dim)`, and bias `(batch, 1, 1, source_length)`."""
        batch, length = ops.shape(source)
        source_bias = ops.reshape(self.padding_bias(source), (batch, 1, 1, length))
        x = self._embed(source, self.source_embedding, self.source_positions, self.pad_id, training)
        position = ops.arange(length, dtype="int32")
        bias = source_bias
        if self.encoder_bias is not None:
            bias = bias + self.encoder_bias(position, position)
        angles = self._angles(position)
        for layer in self.encoder_layers:
            x = layer(x, bias, angles, batch=batch, training=training)
        return (self.encoder_norm(x) if self.norm_first else x), source_bias

    def _embed(self, ids, embedding, positions, pad_id, training):
        """Embeddings with positions, `(batch * length, dim)`, of ids `(batch, length)`."""
        length = ops.shape(ids)[1]
        if self.max_positions is not None and isinstance(length, int):
            expected = f"at least the {length} tokens of a sequence"
            require(length <= self.max_positions, expected, max_positions=self.max_positions)
        position = self._clip(ops.arange(length, dtype="int32"))
        x = self._add_positions(embedding.sequences(ids, pad_id), position, positions)
        return self.dropout(ops.reshape(x, (-1, self.model_dim)), training=training)

    def _add_positions(self, x, position, table, encode=sinusoidal_encoding):
        """Scale embeddings (section 3.4) and add sinusoidal or learned positions."""
        x = x * math.sqrt(self.model_dim)
        if self.positions == "sinusoidal":
            return x + ops.cast(encode(position, self.model_dim), x.dtype)
        return x + table(position) if self.positions == "learned" else x

    def _angles(self, position, encode=rotation):
        return encode(position, self.head_dim) if self.positions == "rotary" else None

    def _clip(self, position, slots=None):
        """Replace positions beyond the last of a table, or of a cache's slots, by the last."""
        limits = [limit for limit in (self.max_positions, slots) if limit is not None]
        return ops.minimum(position, min(limits) - 1) if limits else position

    def _causal_bias(self, position):
        """`(1, 1, length, length)`: a large negative number at later positions."""
        is_visible = ops.less_equal(ops.expand_dims(position, 0), ops.expand_dims(position, 1))
        return mask_bias(is_visible, self.compute_dtype)[None, None]

    def _project(self, x):
        """Logits `(rows, vocabulary_size)`."""
        return self.output_projection(self.decoder_norm(x) if self.norm_first else x)
