"""The RNN Seq2Seq: Sutskever et al. 2014, Cho et al. 2014, Bahdanau et al. 2015, Luong et al. 2015,
Wu et al. 2016 (GNMT).
"""

import math

import keras
from keras import layers, ops

from ..checks import plain
from ..contract import Seq2Seq
from ..layers.dropout import Dropout
from ..layers.embedding import token_embeddings
from ..layers.scan import scan_time
from ..shapes import built
from .attention import GlobalAttention
from .options import RNNOptions
from .recurrence import CELLS, Recurrence, reversed_places, take_places


def rnn_seq2seq(
    *,
    vocabulary_size,
    source_vocabulary_size=None,
    cell="lstm",
    num_layers=2,
    embedding_dim=512,
    hidden_dim=512,
    encoder_dim=None,
    bidirectional=True,
    reverse_source=False,
    residual_start=None,
    bridge="dense",
    attention="general",
    query=None,
    input_feeding=False,
    read_out="tanh",
    read_out_dim=None,
    embeddings="shared",
    scale_embeddings=False,
    dropout=0.2,
    pad_id=0,
    start_id=2,
    end_id=3,
    name="rnn_seq2seq",
):
    """Builds a recurrent encoder-decoder, with or without attention.

    | attention | score of a query q and an encoder output m | source |
    |---|---|---|
    | `None` | none: the source is known from the decoder's first state alone | Sutskever 2014, https://arxiv.org/abs/1409.3215 |
    | `"fixed"` | none: the encoder's last state is the context of every step | Cho 2014, https://arxiv.org/abs/1406.1078 |
    | `"additive"` | v tanh(W q + U m) | Bahdanau 2015, https://arxiv.org/abs/1409.0473, appendix A.1.2 |
    | `"dot"` | q m | Luong 2015, https://arxiv.org/abs/1508.04025, equation 8 |
    | `"general"` | q W m | the same |
    | `"concat"` | v tanh(W [q; m]), which is additive; with Luong's query | the same |

    | query | q | the context, beside the read-out, goes to | source |
    |---|---|---|---|
    | `"previous"` | top state before the step | the first layer, with the token | Bahdanau 2015 |
    | `"current"` | top state after the step | nowhere else | Luong 2015 |
    | `"bottom"` | first layer's state before the step | every layer | Wu 2016 (GNMT), https://arxiv.org/abs/1609.08144, section 3 |

    | read_out | what the output projection takes | source |
    |---|---|---|
    | `"tanh"` | tanh(W [hidden; context]) | Luong 2015, equation 5 |
    | `"maxout"` | greatest of each pair of U hidden + V token + C context | Bahdanau 2015, appendix A.2.2 |
    | `None` | the hidden state | Sutskever 2014, Wu 2016 |

    | bridge | the decoder's first state, layer by layer, top to top | source |
    |---|---|---|
    | `"dense"` | tanh of a linear map of the encoder's last state | Bahdanau 2015, of both directions |
    | `"backward"` | the same of the backward direction alone, where there is one | Bahdanau 2015, appendix A.2.2 |
    | `"copy"` | the encoder's last state | Sutskever 2014, Luong 2015 |
    | `"zeros"` | zeros | |

    Additive and concat scores have a bias inside their tanh, and the maps of the read-outs one,
    which the papers leave out. Bahdanau's equation 4 reads out the state after the step, his
    appendix the one before it; here it is equation 4. Cho's fixed context is tanh of a map of the
    encoder's last state; here it is that state.

    Args:
        vocabulary_size: Number of token ids, of the target where the two sides differ.
        source_vocabulary_size: Number of the source's token ids. Default: `vocabulary_size`.
        cell: `"lstm"` (Hochreiter and Schmidhuber 1997), `"gru"` (Cho et al. 2014, with the reset
            gate after the product, as cuDNN has it) or `"gru_reset_before"` (as published).
        num_layers: Layers of the encoder and of the decoder, or a pair (encoder, decoder).
        embedding_dim: Size of embeddings.
        hidden_dim: Size of the decoder's hidden states, and inside additive scores.
        encoder_dim: Size of an encoder layer's outputs, both directions together. Default:
            `hidden_dim`.
        bidirectional: Read the source in both directions, each with half of `encoder_dim`. False:
            forward only. `"first"`: the first layer reads in both, each of the full `encoder_dim`,
            the others forward (GNMT, section 3.2).
        reverse_source: Read the source's tokens, but its end, from the last to the first (Sutskever
            2014, section 3.3).
        residual_start: The first layer, counted from 1, of encoder and decoder that adds its input
            to its output; 3 in GNMT (section 3.1). Default: none does.
        bridge: One of the table's.
        attention: One of the table's.
        query: One of the table's. Default: `"previous"` for additive scores, else `"current"`.
        input_feeding: The first layer also reads the last step's read-out (Luong 2015, section 3.3).
        read_out: One of the table's.
        read_out_dim: Size of the read-out. Default: `embedding_dim`.
        embeddings: `"shared"`: one table for source, target and output; `"shared_target"`: one for
            target and output; `"separate"`: three.
        scale_embeddings: Multiply what the first layers read by sqrt(embedding_dim), as Vaswani 2017
            does (section 3.4). A table of rows as small as an output projection wants them says
            little to the gates: scaled, a training's first hundreds of steps go faster; whether it ends
            better hangs on the sizes and the learning rate.
        dropout: Rate in [0, 1): on embeddings, between layers, on the read-out.
        pad_id: Id of padding.
        start_id: Id that begins a target.
        end_id: Id that ends a source and a target.
        name: The model's name.

    Returns:
        A `Seq2Seq` model: `{"source": (batch, source_length), "target": (batch, target_length)}`
        to logits `(batch, target_length, vocabulary_size)`. With one of the four scores it has
        attention (`return_attention=True`).

    Raises:
        ValueError: An option is out of its range, or does not go with another; the message names
            it.

    Example:
        >>> import numpy as np
        >>> from seq2lite import zoo
        >>> model = zoo.rnn_seq2seq(vocabulary_size=50, cell="gru", num_layers=1,
        ...                         embedding_dim=16, hidden_dim=16, attention="additive")
        >>> source, target = np.array([[5, 6, 3]]), np.array([[2, 7]])
        >>> tuple(model({"source": source, "target": target}).shape)
        (1, 2, 50)
    """
    return RNNSeq2Seq(
        vocabulary_size=vocabulary_size,
        source_vocabulary_size=source_vocabulary_size,
        cell=cell,
        num_layers=num_layers,
        embedding_dim=embedding_dim,
        hidden_dim=hidden_dim,
        encoder_dim=encoder_dim,
        bidirectional=bidirectional,
        reverse_source=reverse_source,
        residual_start=residual_start,
        bridge=bridge,
        attention=attention,
        query=query,
        input_feeding=input_feeding,
        read_out=read_out,
        read_out_dim=read_out_dim,
        embeddings=embeddings,
        scale_embeddings=scale_embeddings,
        dropout=dropout,
        pad_id=pad_id,
        start_id=start_id,
        end_id=end_id,
        name=name,
    )


@keras.saving.register_keras_serializable("seq2lite")
class RNNSeq2Seq(Seq2Seq):
    """See `rnn_seq2seq`, its builder."""

    # Twice a Transformer's: measured over the few epochs of a recipe, in docs/recipes.md.
    peak_learning_rate = 4e-3

    def __init__(
        self,
        *,
        vocabulary_size,
        source_vocabulary_size,
        pad_id,
        start_id,
        end_id,
        name,
        **options,
    ):
        super().__init__(
            vocabulary_size=vocabulary_size,
            source_vocabulary_size=source_vocabulary_size,
            pad_id=pad_id,
            start_id=start_id,
            end_id=end_id,
            name=name,
            **options,
        )
        options = RNNOptions(**plain(options))
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
            vocabulary_size=vocabulary_size,
            dim=options.embedding_dim,
            output_dim=options.output_dim,
        )
        # encoder[layer][direction]: the first direction reads forward, the second backward.
        self.encoder = [
            [
                built(
                    Recurrence(
                        options.cell,
                        units,
                        backward=direction == "backward",
                        name=f"encoder_{i}_{direction}",
                    ),
                    (None, None, dim),
                )
                for direction in ("forward", "backward")[:num_directions]
            ]
            for i, ((num_directions, units), dim) in enumerate(
                zip(options.directions, options.encoder_dims, strict=False)
            )
        ]
        hidden_dim = options.hidden_dim
        self.decoder = [
            built(Recurrence(options.cell, hidden_dim, name=f"decoder_{i}"), (None, None, dim))
            for i, dim in enumerate(options.decoder_dims)
        ]
        self.bridge, self.bridge_layers = options.bridge, options.bridge_layers
        # bridge_maps[layer][state], where a state is hidden, or the LSTM's cell.
        self.bridge_maps = None
        if self.bridge in ("dense", "backward"):
            self.bridge_maps = [
                [
                    built(
                        layers.Dense(hidden_dim, activation="tanh", name=f"bridge_{i}_{state}"),
                        (None, dim),
                    )
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
        read_dim = hidden_dim + options.context_dim
        if self.read_out == "tanh":
            self.read_out_map = built(
                layers.Dense(self.read_out_dim, activation="tanh", name="read_out"),
                (None, read_dim),
            )
        elif self.read_out == "maxout":
            self.read_out_map = built(
                layers.Dense(2 * self.read_out_dim, name="read_out"),
                (None, read_dim + options.embedding_dim),
            )
        self.dropout = Dropout(options.dropout, name="dropout")

    def call(self, inputs, training=False, return_attention=False):
        """Logits of every next token, given the true ones before it (teacher forcing)."""
        self.require_attention(return_attention)
        source = ops.cast(inputs["source"], "int32")
        target = ops.cast(inputs["target"], "int32")
        state = self._encode(source, training, stepwise=False)
        x = self._scaled(self.target_embedding.sequences(target, self.target_padding))
        x = self.dropout(x, training=training)
        if self.query in ("previous", "bottom") or self.input_feeding:
            read, weights = self._step_by_step(x, state, training)
        else:
            read, weights = self._layer_by_layer(x, state, training)
        logits = self.output_projection(self.dropout(read, training=training))
        logits = ops.reshape(logits, (*ops.shape(target), self.vocabulary_size))
        return (logits, weights) if return_attention else logits

    def encode(self, source):
        """int32 ids `(batch, source_length)` to the state of a decoder that has read nothing.

        State, of each decoder layer `i`: `hidden_i`, and for LSTM `cell_i`, both
        `(batch, hidden_dim)`, change with each step. With one of the four scores: `keys`,
        `memory (batch, source_length, memory_dim)` and `source_bias (batch, source_length)` stay.
        `context (batch, memory_dim)` stays, where it is fixed. `read_out (batch, read_out_dim)`, with
        input feeding, is that of the last step.
        """
        return self._encode(ops.cast(source, "int32"), training=False, stepwise=True)

    @property
    def shared_state(self):
        """What of the state does not depend on the tokens that were said: see `Seq2Seq`."""
        return {"keys", "memory", "source_bias", "context"}

    def step(self, token, state, return_attention=False):
        """`decode_step`: no tensor of the state changes its shape."""
        self.require_attention(return_attention)
        token = ops.cast(token, "int32")
        embedded = self._scaled(self.target_embedding.tokens(token, self.target_padding))
        hidden, context, weights, state = self._step(embedded, state)
        read = self._read(hidden, context, embedded)
        if self.input_feeding:
            state["read_out"] = read
        logits = self.output_projection(read)
        return (logits, state, weights) if return_attention else (logits, state)

    def _scaled(self, embedded):
        return embedded * math.sqrt(embedded.shape[-1]) if self.scale_embeddings else embedded

    @property
    def _names(self):
        return CELLS[self.decoder[0].cell].states

    def _encode(self, source, training, stepwise):
        """`encode`, by loops of steps (for a device) or by Keras's layers (for training)."""
        token = self.source_mask(source)
        place = None
        if self.reverse_source:
            place = reversed_places(token, but_last=1)
            source = take_places(ops.expand_dims(source, 2), place)[:, :, 0]
        x = self._scaled(self.source_embedding.sequences(source, self.pad_id))
        last = []  # last[layer][direction]: its last states
        for i, directions in enumerate(self.encoder):
            below, x = x, self.dropout(x, training=training)
            if stepwise:
                results = [direction.loop(x, token) for direction in directions]
            else:
                results = [direction(x, mask=token) for direction in directions]
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
            # In the source's own order, whichever it was read in.
            memory = x if place is None else take_places(x, place)
            state["keys"] = self.attention.keys(memory)
            state["memory"] = memory
            state["source_bias"] = self.padding_bias(source)
        if self.input_feeding:
            state["read_out"] = ops.zeros((batch, self.read_out_dim), self.compute_dtype)
        return state

    def _first_state(self, layer, state, last, batch):
        """State number `state` of a decoder layer, from an encoder layer's last ones."""
        if self.bridge == "zeros":
            return ops.zeros((batch, self.decoder[layer].units), self.compute_dtype)
        if self.bridge == "backward":
            value = last[-1][state]
        else:
            value = _join([states[state] for states in last])
        return value if self.bridge == "copy" else self.bridge_maps[layer][state](value)

    def _is_residual(self, layer):
        return self.residual_start is not None and layer + 1 >= self.residual_start

    def _step(self, embedded, state, masks=()):
        """One token `(batch, embedding_dim)` through the decoder.

        Args:
            embedded: The token's embedding.
            state: As `encode` gives it.
            masks: What multiplies the inputs of each layer above the first: dropout, in training.

        Returns:
            The top layer's hidden state `(batch, hidden_dim)`; the context `(batch, memory_dim)` or
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
        """`_step` over `(batch, length, embedding_dim)`, where attention is part of the recurrence.

        Returns:
            The read-outs `(batch * length, read_out_dim)`, and the weights `(batch, length,
            source_length)`.
        """
        stays = ("keys", "memory", "source_bias")
        start = {name: value for name, value in state.items() if name not in stays}
        masks = []
        if training:
            # Drawn before the loop: no random state may change within it.
            batch, length, _ = ops.shape(x)
            ones = [ops.ones((batch, length, layer.units), x.dtype) for layer in self.decoder[1:]]
            masks = [self.dropout(mask, training=True) for mask in ones]

        def step(carry, now):
            embedded, *masks = now
            hidden, context, weights, after = self._step(embedded, {**state, **carry[0]}, masks)
            if self.input_feeding:
                hidden = after["read_out"] = self._read(hidden, context, embedded)
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
        return self._read(_rows(hidden), _rows(context), _rows(x)), weights

    def _layer_by_layer(self, x, state, training):
        """`_step_by_step` where no layer waits for another's next step: all tokens at once."""
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
        return self._read(
            *(None if y is None else _rows(y) for y in (x, context, embedded))
        ), weights

    def _read(self, hidden, context, embedded):
        """What the output projection takes, `(rows, read_out_dim)`; see `rnn_seq2seq`'s table."""
        if self.read_out is None:
            return hidden
        parts = [hidden] if context is None else [hidden, context]
        if self.read_out == "tanh":
            return self.read_out_map(_join(parts))
        pairs = self.read_out_map(_join([*parts, embedded]))
        return ops.max(ops.reshape(pairs, (-1, self.read_out_dim, 2)), axis=-1)


def _rows(x):
    return ops.reshape(x, (-1, x.shape[-1]))


def _join(parts):
    return parts[0] if len(parts) == 1 else ops.concatenate(list(parts), axis=-1)
