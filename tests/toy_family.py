"""A third family, written against the contract only: float features in, attention, a gated decoder."""

import keras
from keras import layers, ops

from seq2lite import zoo


@keras.saving.register_keras_serializable("tests")
class ToyFamily(zoo.Seq2Seq):
    """A dense encoder, and a decoder of one gated layer with dot-product attention."""

    has_attention = True
    peak_learning_rate = 5e-3
    shared_state = frozenset({"memory", "bias"})

    def __init__(self, *, features=5, dim=16, **vocabulary_and_name):
        super().__init__(features=features, dim=dim, **vocabulary_and_name)
        self.features, self.dim = features, dim
        self.encoder = self.dense(dim, features, "tanh", "encoder")
        self.table = zoo.TokenEmbedding(self.vocabulary_size, dim, name="table")
        self.table.build(None)
        self.gate = self.dense(dim, 3 * dim, "sigmoid", "gate")
        self.candidate = self.dense(dim, 3 * dim, "tanh", "candidate")
        self.dropout = layers.Dropout(0.2)

    @staticmethod
    def dense(units, dim, activation, name):
        layer = layers.Dense(units, activation, name=name)
        layer.build((None, dim))
        return layer

    @property
    def source_spec(self):
        return zoo.SourceSpec("float32", padding=0.0, features=self.features)

    def encode(self, source):
        batch, length, _ = ops.shape(source)
        memory = self.encoder(ops.reshape(source, (-1, self.features)))
        memory = ops.reshape(memory, (batch, length, self.dim))
        is_token = ops.cast(self.source_mask(source), memory.dtype)
        mean = ops.sum(memory * ops.expand_dims(is_token, 2), axis=1)
        mean = mean / ops.sum(is_token, axis=1, keepdims=True)
        return {"memory": memory, "bias": self.padding_bias(source), "hidden": mean}

    def step(self, token, state, return_attention=False):
        embedded = self.table.tokens(token, self.target_padding)
        hidden, weights = self.advance(embedded, state["hidden"], state)
        logits, state = self.logits(hidden), {**state, "hidden": hidden}
        return (logits, state, weights) if return_attention else (logits, state)

    def call(self, inputs, training=False, return_attention=False):
        state = self.encode(inputs["source"])
        embedded = self.table.sequences(ops.cast(inputs["target"], "int32"), self.target_padding)
        embedded = self.dropout(embedded, training=training)

        def step(carry, embedded):
            carry = self.advance(embedded, carry[0], state)
            return carry, carry

        first = state["hidden"], ops.zeros_like(state["bias"])
        _, steps = ops.scan(step, first, ops.transpose(embedded, (1, 0, 2)))
        hidden, weights = (ops.transpose(x, (1, 0, 2)) for x in steps)
        logits = self.logits(ops.reshape(hidden, (-1, self.dim)))
        logits = ops.reshape(logits, (*ops.shape(inputs["target"]), self.vocabulary_size))
        return (logits, weights) if return_attention else logits

    def advance(self, embedded, hidden, state):
        """The next hidden state, and the attention weights of one token per sentence."""
        scores = ops.sum(ops.expand_dims(hidden, 1) * state["memory"], axis=2) + state["bias"]
        weights = ops.softmax(scores)
        context = ops.sum(ops.expand_dims(weights, 2) * state["memory"], axis=1)
        x = ops.concatenate([embedded, context, hidden], axis=-1)
        gate = self.gate(x)
        return hidden + gate * (self.candidate(x) - hidden), weights

    def logits(self, hidden):
        return ops.matmul(hidden, ops.transpose(ops.cast(self.table.embeddings, hidden.dtype)))
