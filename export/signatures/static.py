"""The zoo's models as `encode` and `decode_step` of static shapes, of ops that every runtime has.

A Transformer's caches hold `max_target_length` slots from the start. A step does not write into a
slot: it drops the oldest and puts its own at the end, by a slice and a concatenation. Both leave
numbers as they are, so that in an integer file a cache has one scale for ever, and no slot's place
depends on a tensor's value. After `max_target_length` tokens the oldest are forgotten.
"""

import math
from contextlib import contextmanager

import numpy as np
import tensorflow as tf
from keras import ops

from seq2lite.zoo.contract import PADDING_BIAS
from seq2lite.zoo.layers.embedding import TokenEmbedding
from seq2lite.zoo.rnn.recurrence import CELLS, Recurrence
from seq2lite.zoo.transformer.layers import FeedForward
from seq2lite.zoo.transformer.model import Transformer
from seq2lite.zoo.transformer.positions import rotation, sinusoidal_encoding

MOST_CONCATENATED = 10  # tensors at once, on microcontrollers


class PortableSignatures(tf.Module):
    """Static `encode` and `decode_step` of a model, ready for `tf.saved_model.save`.

    The state is as the zoo documents it, but for the Transformer's own: `self_keys_i (batch,
    num_key_heads, head_dim, slots)` and `self_values_i (batch, num_key_heads, slots, head_dim)` hold
    the newest token in the last slot, `written (batch, 1, 1, slots)` is one there and zero at free
    ones. `encode` gives only what depends on the source; the rest of what `decode_step` takes is zeros
    at first. What a step leaves as it was it does not give: the host keeps it.

    Args:
        model: A `zoo.Seq2Seq` that computes in float32.
        max_source_length: Tokens of each source, padded.
        max_target_length: Slots of a cache, of which the start takes one.
        batch: Sentences at a time.

    Attributes:
        functions: Name to concrete function.
    """

    def __init__(self, model, max_source_length, max_target_length, batch=1):
        super().__init__()
        self.weights = [variable.value for variable in model.variables]
        if isinstance(model, Transformer):
            first, further = _transformer_encode, _transformer_step
        else:
            first = lambda model, source, slots: model.encode(source)  # noqa: E731
            further = lambda model, token, state, slots: model.decode_step(token, state)  # noqa: E731

        spec = model.source_spec
        specs = {}

        @tf.function
        def encode(source):
            state = first(model, source, max_target_length)
            specs.update(
                {name: tf.TensorSpec(x.shape, x.dtype, name=name) for name, x in state.items()}
            )
            # No constants: some runtimes cannot give them.
            return {name: x for name, x in state.items() if not _is_zero(x)}

        @tf.function
        def decode_step(token, **state):
            logits, after = further(model, token, state, max_target_length)
            for name, x in after.items():
                if x.shape != specs[name].shape or not x.shape.is_fully_defined():
                    raise ValueError(
                        "`model` must have a state whose shapes no step changes. Received: "
                        f"{name} of shape {specs[name].shape}, then {x.shape}"
                    )
            # What stays is not handed back: some runtimes cannot give what they were given.
            changed = {name: x for name, x in after.items() if x is not state[name]}
            return {"logits": logits, **changed}

        self.encode, self.decode_step = encode, decode_step
        with _portable_layers(model):
            encode = encode.get_concrete_function(
                tf.TensorSpec(spec.shape(batch, max_source_length), spec.dtype, name="source")
            )
            step = decode_step.get_concrete_function(
                tf.TensorSpec((batch,), tf.int32, name="token"), **specs
            )
        self.functions = {"encode": encode, "decode_step": step}


def _is_zero(x):
    """Whether a tensor is zeros whatever the source, such as what of a state is so at first."""
    value = tf.get_static_value(x)
    return value is not None and not value.any()


def _transformer_encode(model, source, slots):
    batch = source.shape[0]
    memory, source_bias = model._memory(source, training=False)
    state = {"position": ops.zeros((batch,), "int32"), "source_bias": source_bias}
    for i, layer in enumerate(model.decoder_layers):
        attention = layer.self_attention
        if attention.grows:
            state["written"] = ops.zeros((batch, 1, 1, slots))
            heads, dim = attention.num_key_heads, attention.head_dim
            state[f"self_keys_{i}"] = ops.zeros((batch, heads, dim, slots))
            state[f"self_values_{i}"] = ops.zeros((batch, heads, slots, dim))
        else:
            (state[f"cell_{i}"],) = attention.first_state(batch, slots)
        keys, values = layer.cross_attention.keys_values(memory, batch)
        state[f"cross_keys_{i}"], state[f"cross_values_{i}"] = keys, values
    return state


def _transformer_step(model, token, state, slots):
    state = dict(state)
    position = state["position"]
    if model.max_positions is not None:
        slots = min(slots, model.max_positions)
    place = ops.minimum(position, slots - 1)
    every = np.arange(slots, dtype="int32")
    x = model.target_embedding.tokens(token, model.target_padding) * math.sqrt(model.model_dim)
    if model.positions == "sinusoidal":
        x = x + tf.gather(sinusoidal_encoding(every, model.model_dim), place)
    elif model.positions == "learned":
        x = x + model.target_positions(place)
    turn = None
    if model.positions == "rotary":
        turn = [tf.gather(table, place[:1]) for table in rotation(every, model.head_dim)]
    bias = None
    if "written" in state:
        written = _shifted(state["written"], ops.ones((len(token), 1, 1, 1)), 3)
        state["written"], bias = written, (1 - written) * PADDING_BIAS
        if model.decoder_bias is not None:
            # A slot's distance is always the same: these are constants.
            slots = bias.shape[3]
            places = np.arange(slots, dtype="int32")
            bias = bias + model.decoder_bias(places[-1:], places)
    for i, layer in enumerate(model.decoder_layers):
        grows = layer.self_attention.grows
        names = ("self_keys", "self_values") if grows else layer.self_attention.state_names
        names = [f"{name}_{i}" for name in names]

        def self_attention(y, attention=layer.self_attention, names=names):
            before = [state[name] for name in names]
            if attention.grows:
                y, after = _attend(attention, y, before, bias, turn)
            else:
                y, after = attention.step(y, before)
            state.update(zip(names, after, strict=True))
            return y

        memory = state[f"cross_keys_{i}"], state[f"cross_values_{i}"]
        x = layer.residual(x, layer.self_attention_norm, self_attention)
        x, _ = layer._rest(
            x, lambda y, a=layer.cross_attention, m=memory: a.step(y, m, state["source_bias"])
        )
    state["position"] = position + 1
    return model._logits(x), state


def _attend(attention, x, cache, bias, turn):
    """One token's self-attention, `x (batch, dim)`, over a cache that it is shifted into."""
    query, key, value = attention.of_one(x, turn)
    keys = _shifted(cache[0], ops.reshape(key, (*key.shape[:2], -1, 1)), 3)
    values = _shifted(cache[1], value, 2)
    context, _ = attention.attend(query, keys, values, bias)
    return attention.project(context), [keys, values]


def _shifted(old, new, axis):
    """`old` without its first place along `axis`, then `new`."""
    rest = old[:, :, :, 1:] if axis == 3 else old[:, :, 1:]
    return ops.concatenate([rest, new], axis=axis)


@contextmanager
def _portable_layers(model):
    """While this holds, `model` traces with ops that every runtime has."""
    swaps = []
    for layer in model._flatten_layers():
        if isinstance(layer, TokenEmbedding):
            swaps.append((layer, "tokens", _TokensOnly(layer, model.end_id)))
        if isinstance(layer, FeedForward):
            swaps.append((layer, "gelu", _gelu))
        if isinstance(layer, Recurrence):
            swaps.append((layer, "loop", lambda x, token, layer=layer: _unrolled(layer, x, token)))
    for owner, name, value in swaps:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, _ in swaps:
            delattr(owner, name)


class _TokensOnly:
    """`TokenEmbedding.tokens` where padding has the row of the source's end, which is a token's.

    As zeros it would have no variance, and what a normalization divides it by would take up the
    digits that tokens need.
    """

    def __init__(self, layer, end_id):
        self.table, self.end_id = layer.embeddings, end_id

    def __call__(self, ids, pad_id):
        if pad_id is None:
            return tf.gather(self.table, ids)
        # A sum, as microcontrollers choose among floats and short integers only.
        is_padding = ops.cast(ops.equal(ids, pad_id), "int32")
        return tf.gather(self.table, ids + is_padding * (self.end_id - pad_id))


def _gelu(x):
    """The tanh form, written as a sigmoid: x (1 + tanh(u)) / 2 is x sigmoid(2 u)."""
    return x * ops.sigmoid(x * (2 * math.sqrt(2 / math.pi) * (1 + 0.044715 * x * x)))


def _unrolled(layer, x, token):
    """`Recurrence.loop` without a loop: as many steps as a source is long.

    Backwards padding comes first, and leaves the zeros that the states begin with.
    """
    batch, length, dim = x.shape
    # Of rank 2: GPU delegates have no slice that drops an axis.
    projected = ops.reshape(layer.project(ops.reshape(x, (-1, dim))), (batch, -1))
    width = projected.shape[1] // length
    keep = ops.cast(token, x.dtype)
    states = [ops.zeros((batch, layer.units)) for _ in CELLS[layer.cell].states]
    outputs = [None] * length
    for t in reversed(range(length)) if layer.backward else range(length):
        after = layer.step(projected[:, t * width : (t + 1) * width], states)
        kept = keep[:, t : t + 1]
        states = [old + kept * (new - old) for new, old in zip(after, states, strict=True)]
        outputs[t] = ops.expand_dims(states[0], 1)
    while len(outputs) > 1:
        groups = range(0, len(outputs), MOST_CONCATENATED)
        outputs = [ops.concatenate(outputs[i : i + MOST_CONCATENATED], axis=1) for i in groups]
    return outputs[0], states
