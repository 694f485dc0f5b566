"""The RNN Seq2Seq: Sutskever et al. 2014, Cho et al. 2014, Bahdanau et al. 2015, Luong et al. 2015,
Wu et al. 2016 (GNMT).
"""

import math

import keras
from keras import ops

from ..contract import Seq2Seq
from ..inputs import source_and_target, source_tensor, target_ids
from ..layers.dropout import Dropout
from ..layers.embedding import token_embeddings
from ..layers.scan import scan_time
from ..shapes import built, dense
from .attention import GlobalAttention
from .options import RNNOptions
from .recurrence import CELLS, Recurrence, reversed_positions, take_positions

DIRECTIONS = ("forward", "backward")


@keras.saving.register_keras_serializable("seq2lite")
class RNNSeq2Seq(Seq2Seq):
    """See `rnn_seq2seq`, its builder."""

    # Twice the default: measured over the few epochs of a recipe.
    peak_learning_rate = 4e-3

    def __init__(self, **arguments):
        super().__init__(**arguments)
        options = RNNOptions(**self.options)
        self.query = options.query
        self.has_attention = options.has_attention
        self.has_fixed_context = options.attention == "fixed"
        self.input_feeding = options.input_feeding
        self.reverse_source = options.reverse_source
        self.scale_embeddings = options.scale_embeddings
        self.residual_start = options.residual_start
        self.source_embedding, self.target_embedding, self.output_projection = token_embeddings(
            options.embeddings,
            source_vocabulary_size=self.source_vocabulary_size,
            vocabulary_size=self.vocabulary_size,
            dim=options.embedding_dim,
            output_dim=options.output_dim,
        )
        # encoder[layer][direction]
        self.encoder = [
            [
                _recurrence(options.cell, units, dim, f"encoder_{i}_{direction}", direction)
                for direction in DIRECTIONS[:num_directions]
            ]
            for i, ((num_directions, units), dim) in enumerate(
                zip(options.directions, options.encoder_dims, strict=False)
            )
        ]
        hidden_dim = options.hidden_dim
        self.decoder = [
            _recurrence(options.cell, hidden_dim, dim, f"decoder_{i}")
            for i, dim in enumerate(options.decoder_dims)
        ]
        self.bridge, self.bridge_layers = options.bridge, options.bridge_layers
        # bridge_maps[layer][state], where a state is hidden, or the LSTM's cell.
        self.bridge_maps = None
        if self.bridge in ("dense", "backward"):
            self.bridge_maps = [
                [
                    dense(hidden_dim, dim, f"bridge_{i}_{state}", activation="tanh")
                    for state in self._names
                ]
                for i, dim in enumerate(options.bridge_dims)
            ]
        self.attention = None
        if self.has_attention:
            self.attention = built(
                GlobalAttention(options.attention, hidden_dim, name="attention"),
                [(None, hidden_dim), (None, None, options.encoder_dims[-1])],
            )
        self.read_out, self.read_out_dim = options.read_out, options.read_out_dim
        self.read_out_map = None
        dim = hidden_dim + options.context_dim
        if self.read_out == "tanh":
            self.read_out_map = dense(self.read_out_dim, dim, "read_out", activation="tanh")
        elif self.read_out == "maxout":
            dim += options.embedding_dim
            self.read_out_map = dense(2 * self.read_out_dim, dim, "read_out")
        self.dropout = Dropout(options.dropout, name="dropout")

    def call(self, inputs, training=False, return_attention=False):
        """Logits of every next token, given the true tokens before it (teacher forcing)."""
        self.require_attention(return_attention)
        source, target = source_and_target(self, inputs)
        state = self._read_source(source, training, stepwise=False)
        x = self._scaled(self.target_embedding.sequences(target, self.target_padding))
        x = self.dropout(x, training=training)
        if self.query in ("previous", "bottom") or self.input_feeding:
            read_out, weights = self._step_by_step(x, state, training)
        else:
            read_out, weights = self._layer_by_layer(x, state, training)
        logits = self.output_projection(self.dropout(read_out, training=training))
        logits = ops.reshape(logits, (*ops.shape(target), self.vocabulary_size))
        return (logits, weights) if return_attention else logits

    def encode(self, source):
        """Return the state of the decoder before its first token.

        | tensor | shape | with | a step |
        |---|---|---|---|
        | `hidden_i` | `(batch, hidden_dim)` | | changes it |
        | `cell_i` | `(batch, hidden_dim)` | LSTM | changes it |
        | `keys` | `(batch, source_length, dim)` | attention | reads it |
        | `memory` | `(batch, source_length, encoder_dim)` | attention | reads it |
        | `source_bias` | `(batch, source_length)` | attention | reads it |
        | `context` | `(batch, encoder_dim)` | a fixed context | reads it |
        | `read_out` | `(batch, read_out_dim)` | input feeding | changes it |

        `i` is the number of a decoder layer.

        Args:
            source: int32 ids `(batch, source_length)`.
        """
        return self._read_source(source_tensor(self, source), training=False, stepwise=True)

    @property
    def shared_state(self):
        return {"keys", "memory", "source_bias", "context"}

    def step(self, token, state, return_attention=False):
        """Read one token: no tensor of the state changes its shape."""
        self.require_attention(return_attention)
        token = target_ids(self, "token", token, None)
        embedded = self._scaled(self.target_embedding.tokens(token, self.target_padding))
        hidden, context, weights, state = self._decode(embedded, state)
        read_out = self._read_out(hidden, context, embedded)
        if self.input_feeding:
            state["read_out"] = read_out
        logits = self.output_projection(read_out)
        return (logits, state, weights) if return_attention else (logits, state)

    def _scaled(self, embedded):
        return embedded * math.sqrt(embedded.shape[-1]) if self.scale_embeddings else embedded

    @property
    def _names(self):
        return CELLS[self.decoder[0].cell].states

    def _read_source(self, source, training, stepwise):
        """`encode`, by steps (for a device) or by Keras's layers (for training)."""
        mask = self.source_mask(source)
        positions = None
        if self.reverse_source:
            positions = reversed_positions(mask, but_last=1)
            source = take_positions(ops.expand_dims(source, 2), positions)[:, :, 0]
        x = self._scaled(self.source_embedding.sequences(source, self.pad_id))
        last = []  # last[layer][direction]: its last states
        for i, directions in enumerate(self.encoder):
            below, x = x, self.dropout(x, training=training)
            if stepwise:
                results = [direction.stepwise(x, mask) for direction in directions]
            else:
                results = [direction(x, mask=mask) for direction in directions]
            outputs, states = zip(*results, strict=True)
            x = _join(outputs) + below if self._is_residual(i) else _join(outputs)
            last.append(states)

        batch = ops.shape(source)[0]
        state = {}
        for i, layer in enumerate(self.bridge_layers):
            for j, name in enumerate(self._names):
                state[f"{name}_{i}"] = self._first_state(i, j, last[layer], batch)
        if self.has_fixed_context:
            state["context"] = _join([states[0] for states in last[-1]])
        if self.has_attention:
            # In the source's own order, also if it was read in reverse.
            memory = x if positions is None else take_positions(x, positions)
            state["keys"] = self.attention.keys(memory)
            state["memory"] = memory
            state["source_bias"] = self.padding_bias(source)
        if self.input_feeding:
            state["read_out"] = ops.zeros((batch, self.read_out_dim), self.compute_dtype)
        return state

    def _first_state(self, layer, state, last, batch):
        """State number `state` of a decoder layer, from the last states of an encoder layer."""
        if self.bridge == "zeros":
            return ops.zeros((batch, self.decoder[layer].units), self.compute_dtype)
        if self.bridge == "backward":
            value = last[-1][state]
        else:
            value = _join([states[state] for states in last])
        return value if self.bridge == "copy" else self.bridge_maps[layer][state](value)

    def _is_residual(self, layer):
        return self.residual_start is not None and layer + 1 >= self.residual_start

    def _decode(self, embedded, state, masks=()):
        """Run the decoder's layers on one token per sentence.

        Args:
            embedded: The token's embedding `(batch, embedding_dim)`.
            state: As `encode` returns it.
            masks: Dropout masks of the inputs of each layer above the first, in training.

        Returns:
            The top layer's hidden state `(batch, hidden_dim)`; the context `(batch, encoder_dim)` or
            None; the weights `(batch, source_length)` or None; the state.
        """
        state = dict(state)
        attend = None
        if self.has_attention:
            memory = state["keys"], state["memory"], state["source_bias"]
            attend = lambda query: self.attention(query, *memory)  # noqa: E731
        context, weights = state.get("context"), None
        if self.query in ("previous", "bottom"):
            layer = 0 if self.query == "bottom" else len(self.decoder) - 1
            context, weights = attend(state[f"hidden_{layer}"])
        fed = state["read_out"] if self.input_feeding else context
        x = embedded if fed is None else ops.concatenate([embedded, fed], axis=-1)
        hidden = None
        for i, layer in enumerate(self.decoder):
            if i:
                x = hidden * masks[i - 1] if masks else hidden
                if self.query == "bottom":
                    x = ops.concatenate([x, context], axis=-1)
            states = layer.step(layer.project(x), [state[f"{name}_{i}"] for name in self._names])
            state |= {f"{name}_{i}": s for name, s in zip(self._names, states, strict=True)}
            hidden = states[0] + hidden if self._is_residual(i) else states[0]
        if self.query == "current":
            context, weights = attend(hidden)
        return hidden, context, weights, state

    def _step_by_step(self, x, state, training):
        """`_decode` over `(batch, length, embedding_dim)`, where attention is part of the recurrence.

        Returns:
            The read-outs `(batch * length, read_out_dim)`, and the weights `(batch, length,
            source_length)`.
        """
        constant = ("keys", "memory", "source_bias")
        start = {name: value for name, value in state.items() if name not in constant}
        masks = []
        if training:
            # Drawn before the loop: no random state may change inside it.
            batch, length, _ = ops.shape(x)
            ones = [ops.ones((batch, length, layer.units), x.dtype) for layer in self.decoder[1:]]
            masks = [self.dropout(mask, training=True) for mask in ones]

        def step(carry, now):
            embedded, *masks = now
            hidden, context, weights, after = self._decode(embedded, {**state, **carry[0]}, masks)
            if self.input_feeding:
                hidden = after["read_out"] = self._read_out(hidden, context, embedded)
            return {name: after[name] for name in start}, hidden, context, weights

        first = (
            start,
            start.get("read_out", start[f"hidden_{len(self.decoder) - 1}"]),
            ops.zeros_like(state["memory"][:, 0]),
            ops.zeros_like(state["source_bias"]),
        )
        _, hidden, context, weights = scan_time(step, first, [x, *masks])
        if self.input_feeding:
            return _rows(hidden), weights
        return self._read_out(_rows(hidden), _rows(context), _rows(x)), weights

    def _layer_by_layer(self, x, state, training):
        """`_step_by_step` without attention in the recurrence: each layer reads all tokens at once."""
        embedded, context, weights = x, state.get("context"), None
        if context is not None:
            context = ops.repeat(ops.expand_dims(context, 1), ops.shape(x)[1], axis=1)
            x = ops.concatenate([x, context], axis=-1)
        for i, layer in enumerate(self.decoder):
            below = x
            if i:
                x = self.dropout(x, training=training)
            states = [state[f"{name}_{i}"] for name in self._names]
            x, _ = layer(x, initial_state=states)
            x = x + below if self._is_residual(i) else x
        if self.has_attention:
            memory = state["keys"], state["memory"], state["source_bias"]
            context, weights = self.attention.over_sequence(x, *memory)
        rows = [None if y is None else _rows(y) for y in (x, context, embedded)]
        return self._read_out(*rows), weights

    def _read_out(self, hidden, context, embedded):
        """Input of the output projection, `(rows, read_out_dim)`; see `rnn_seq2seq`'s table."""
        if self.read_out is None:
            return hidden
        parts = [hidden] if context is None else [hidden, context]
        if self.read_out == "tanh":
            return self.read_out_map(_join(parts))
        pairs = self.read_out_map(_join([*parts, embedded]))
        return ops.max(ops.reshape(pairs, (-1, self.read_out_dim, 2)), axis=-1)


def _recurrence(cell, units, dim, name, direction="forward"):
    recurrence = Recurrence(cell, units, backward=direction == "backward", name=name)
    return built(recurrence, (None, None, dim))


def _rows(x):
    return ops.reshape(x, (-1, x.shape[-1]))


def _join(parts):
    return parts[0] if len(parts) == 1 else ops.concatenate(list(parts), axis=-1)
