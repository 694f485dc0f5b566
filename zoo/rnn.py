"""The RNN Seq2Seq: Sutskever et al. 2014, Cho et al. 2014, Bahdanau et al. 2015, Luong et al. 2015."""

import keras
from keras import layers, ops

from .attention import GlobalAttention
from .contract import (
    Seq2Seq,
    added,
    layer_pair,
    require,
    require_rate,
    require_sizes,
)
from .embedding import embeddings
from .recurrence import CELLS, Recurrence

ATTENTIONS = (None, "additive", "dot", "general", "concat")


def rnn_seq2seq(
    *,
    vocabulary_size,
    cell="lstm",
    num_layers=2,
    embedding_dim=512,
    hidden_dim=512,
    encoder_dim=None,
    bidirectional=True,
    attention="general",
    dropout=0.2,
    tie_embeddings=True,
    pad_id=0,
    start_id=2,
    end_id=3,
    name="rnn_seq2seq",
):
    """Builds a recurrent encoder-decoder, with or without attention.

    | attention | score of a query q and an encoder output m | source |
    |---|---|---|
    | `None` | none: the encoder's last state is the fixed context vector | Sutskever 2014, Cho 2014 |
    | `"additive"` | v tanh(W q + U m), q the state *before* the step, the context is an input of the cell | Bahdanau 2015, https://arxiv.org/abs/1409.0473, appendix A.1.2 |
    | `"dot"` | q m | Luong 2015, https://arxiv.org/abs/1508.04025, equation 8 |
    | `"general"` | q W m | the same |
    | `"concat"` | v tanh(W [q; m]), q the state *after* the step | the same |

    Additive and concat scores have a bias inside their tanh, which the papers leave out.

    The decoder reads out tanh(W [hidden; context]) (Luong, equation 5) with every attention, and
    begins at tanh of a linear map of the encoder's last state (Bahdanau, appendix A.2.2), layer
    by layer.

    Args:
        vocabulary_size: Number of token ids, one vocabulary for source and target.
        cell: `"lstm"` (Hochreiter and Schmidhuber 1997) or `"gru"` (Cho et al. 2014).
        num_layers: Layers of the encoder and of the decoder, or a pair (encoder, decoder).
        embedding_dim: Size of embeddings, and of the read-out before the output projection.
        hidden_dim: Size of the decoder's hidden states.
        encoder_dim: Size of the encoder's outputs, both directions together. Default:
            `hidden_dim`.
        bidirectional: Read the source in both directions, each with half of `encoder_dim`.
        attention: One of the table's.
        dropout: Rate in [0, 1): on embeddings, between layers, on the read-out.
        tie_embeddings: One table for source, target and output. False: three.
        pad_id: Id of padding.
        start_id: Id that begins a target.
        end_id: Id that ends a source and a target.
        name: The model's name.

    Returns:
        A `Seq2Seq` model: `{"source": (batch, source_length), "target": (batch, target_length)}`
        to logits `(batch, target_length, vocabulary_size)`.

    Raises:
        ValueError: An option is out of its range; the message names it.

    Example:
        >>> import numpy as np
        >>> from seq2lite import zoo
        >>> model = zoo.rnn_seq2seq(vocabulary_size=50, cell="gru", num_layers=1,
        ...                         embedding_dim=16, hidden_dim=16, attention="additive")
        >>> source, target = np.array([[5, 6, 3]]), np.array([[2, 7]])
        >>> model({"source": source, "target": target}).shape
        TensorShape([1, 2, 50])
    """
    return RNNSeq2Seq(
        vocabulary_size=vocabulary_size,
        cell=cell,
        num_layers=num_layers,
        embedding_dim=embedding_dim,
        hidden_dim=hidden_dim,
        encoder_dim=encoder_dim,
        bidirectional=bidirectional,
        attention=attention,
        dropout=dropout,
        tie_embeddings=tie_embeddings,
        pad_id=pad_id,
        start_id=start_id,
        end_id=end_id,
        name=name,
    )


@keras.saving.register_keras_serializable("seq2lite")
class RNNSeq2Seq(Seq2Seq):
    """See `rnn_seq2seq`, its builder."""

    def __init__(
        self,
        *,
        vocabulary_size,
        cell,
        num_layers,
        embedding_dim,
        hidden_dim,
        encoder_dim,
        bidirectional,
        attention,
        dropout,
        tie_embeddings,
        **special_ids_and_name,
    ):
        super().__init__(
            vocabulary_size=vocabulary_size,
            cell=cell,
            num_layers=num_layers,
            embedding_dim=embedding_dim,
            hidden_dim=hidden_dim,
            encoder_dim=encoder_dim,
            bidirectional=bidirectional,
            attention=attention,
            dropout=dropout,
            tie_embeddings=tie_embeddings,
            **special_ids_and_name,
        )
        num_encoder_layers, num_decoder_layers = layer_pair(num_layers)
        encoder_dim = hidden_dim if encoder_dim is None else encoder_dim
        directions = 2 if bidirectional else 1
        require("cell", cell, f"one of {sorted(CELLS)}", lambda c: c in CELLS)
        require_sizes(embedding_dim=embedding_dim, hidden_dim=hidden_dim, encoder_dim=encoder_dim)
        require("attention", attention, f"one of {ATTENTIONS}", lambda a: a in ATTENTIONS)
        require(
            "encoder_dim",
            encoder_dim,
            "even in a bidirectional encoder (half for each direction)",
            lambda n: n % directions == 0,
        )
        if attention == "dot":
            require(
                "encoder_dim",
                encoder_dim,
                f"hidden_dim={hidden_dim} with attention='dot'",
                lambda n: n == hidden_dim,
            )
        require_rate("dropout", dropout)
        self.source_embedding, self.target_embedding, self.output_projection = embeddings(
            vocabulary_size, embedding_dim, tie_embeddings
        )
        # encoder[layer][direction]: the first direction reads forward, the second backward.
        self.encoder = [
            [
                added(
                    Recurrence(cell, encoder_dim // directions, backward=direction == 1),
                    (None, None, encoder_dim if i else embedding_dim),
                )
                for direction in range(directions)
            ]
            for i in range(num_encoder_layers)
        ]
        self.feeds_context = attention == "additive"
        first_dim = embedding_dim + (encoder_dim if self.feeds_context else 0)
        self.decoder = [
            added(Recurrence(cell, hidden_dim), (None, None, hidden_dim if i else first_dim))
            for i in range(num_decoder_layers)
        ]
        self.num_states = len(CELLS[cell].states)
        # One map for each of a decoder layer's states: hidden, and the LSTM's cell.
        self.bridge = [
            [
                added(layers.Dense(hidden_dim, activation="tanh"), (None, encoder_dim))
                for _ in range(self.num_states)
            ]
            for _ in range(num_decoder_layers)
        ]
        self.attention = None
        if attention is not None:
            self.attention = added(
                GlobalAttention(attention, hidden_dim),
                [(None, hidden_dim), (None, None, encoder_dim)],
            )
        read_dim = hidden_dim + (encoder_dim if attention is not None else 0)
        self.read_out = added(
            layers.Dense(embedding_dim, activation="tanh", name="read_out"), (None, read_dim)
        )
        self.dropout = layers.Dropout(dropout)

    def call(self, inputs, training=False):
        """Logits of every next token, given the true ones before it (teacher forcing)."""
        source = ops.cast(inputs["source"], "int32")
        target = ops.cast(inputs["target"], "int32")
        memory, states = self._read_source(source, training)
        x = self._embed(self.target_embedding, target, training)
        if self.feeds_context:
            hidden, context = self._scan(x, states, memory, self.padding_bias(source), training)
        else:
            hidden, context = x, None
            for i, layer in enumerate(self.decoder):
                hidden = self.dropout(hidden, training=training) if i else hidden
                hidden, _ = layer(hidden, initial_state=states[i])
            if self.attention is not None:
                keys, bias = self.attention.keys(memory), self.padding_bias(source)
                context = self.attention.over_sequence(hidden, keys, memory, bias)
        read = self._read(_rows(hidden), None if context is None else _rows(context))
        logits = self.output_projection(self.dropout(read, training=training))
        return ops.reshape(logits, (*ops.shape(target), self.vocabulary_size))

    def encode(self, source):
        """int32 ids `(batch, source_length)` to the state of a decoder that has read nothing.

        State, of each decoder layer `i`: `hidden_i`, and for LSTM `cell_i`, both
        `(batch, hidden_dim)`, change with each step. With attention: `keys`,
        `memory (batch, source_length, encoder_dim)` and `source_bias (batch, source_length)` stay.
        """
        source = ops.cast(source, "int32")
        memory, states = self._read_source(source, training=False, stepwise=True)
        state = {}
        for i, layer_states in enumerate(states):
            state |= {f"{name}_{i}": s for name, s in zip(self._names, layer_states, strict=True)}
        if self.attention is not None:
            state["keys"] = self.attention.keys(memory)
            state["memory"] = memory
            state["source_bias"] = self.padding_bias(source)
        return state

    def decode_step(self, token, state):
        """One token further: int32 ids `(batch,)` and the state to logits and the next state."""
        embedded = self.target_embedding(ops.cast(token, "int32"))
        states = [[state[f"{name}_{i}"] for name in self._names] for i in range(len(self.decoder))]
        states, context = self._step(
            embedded, states, state.get("keys"), state.get("memory"), state.get("source_bias")
        )
        next_state = dict(state)
        for i, layer_states in enumerate(states):
            next_state |= {
                f"{name}_{i}": s for name, s in zip(self._names, layer_states, strict=True)
            }
        return self.output_projection(self._read(states[-1][0], context)), next_state

    @property
    def _names(self):
        return CELLS[self.decoder[0].cell].states

    def _embed(self, embedding, ids, training):
        x = embedding(ops.reshape(ids, (-1,)))
        x = ops.reshape(x, (*ops.shape(ids), embedding.output_dim))
        return self.dropout(x, training=training)

    def _read_source(self, source, training, stepwise=False):
        """Encoder outputs `(batch, source_length, encoder_dim)` and the decoder's first states."""
        token = ops.not_equal(source, self.pad_id)
        x = self._embed(self.source_embedding, source, training)
        last = []
        for i, directions in enumerate(self.encoder):
            x = self.dropout(x, training=training) if i else x
            if stepwise:
                results = [direction.loop(x, token) for direction in directions]
            else:
                results = [direction(x, mask=token) for direction in directions]
            outputs, states = zip(*results, strict=True)
            x = _join(outputs)
            last.append([_join(parts) for parts in zip(*states, strict=True)])
        first = []
        for i, maps in enumerate(self.bridge):
            # Top to top, where one stack is deeper.
            states = last[max(0, len(last) - len(self.bridge) + i)]
            first.append([to_state(s) for to_state, s in zip(maps, states, strict=True)])
        return x, first

    def _step(self, x, states, keys, memory, bias, training=False):
        """One token `(batch, dim)` through the decoder: the next states, and the context."""
        context = None
        if self.feeds_context:
            context = self.attention(states[-1][0], keys, memory, bias)
            x = ops.concatenate([x, context], axis=-1)
        next_states = []
        for i, layer in enumerate(self.decoder):
            x = self.dropout(x, training=training) if i else x
            next_states.append(layer.step(layer.project(x), states[i]))
            x = next_states[-1][0]
        if self.attention is not None and not self.feeds_context:
            context = self.attention(x, keys, memory, bias)
        return next_states, context

    def _scan(self, x, states, memory, bias, training):
        """`_step` over `(batch, length, dim)`: all hidden states of the top layer, all contexts.

        Needed where a step takes the state before it, so that no layer can run ahead.
        """
        keys = self.attention.keys(memory)

        def step(carry, x_t):
            carry = self._step(x_t, carry[0], keys, memory, bias, training)
            return carry, carry

        start = (states, ops.zeros_like(memory[:, 0]))
        _, (states, contexts) = ops.scan(step, start, ops.transpose(x, (1, 0, 2)))
        return ops.transpose(states[-1][0], (1, 0, 2)), ops.transpose(contexts, (1, 0, 2))

    def _read(self, hidden, context):
        """tanh(W [hidden; context]): `(rows, hidden_dim)` to `(rows, embedding_dim)`."""
        if context is not None:
            hidden = ops.concatenate([hidden, context], axis=-1)
        return self.read_out(hidden)


def _rows(x):
    return ops.reshape(x, (-1, x.shape[-1]))


def _join(parts):
    return parts[0] if len(parts) == 1 else ops.concatenate(list(parts), axis=-1)
