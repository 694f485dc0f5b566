"""`encode` and `decode_step` of static shapes, of ops that every runtime has.

For GPU delegates, NPUs, web runtimes and microcontrollers: no loop, no dynamic size, rank 4 at the
most, no int64. A host runs the search (`host_search`).

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

from ..zoo.embedding import TokenEmbedding
from ..zoo.positions import rotate, rotation, sinusoidal_encoding
from ..zoo.recurrence import CELLS, Recurrence
from ..zoo.transformer import Transformer
from ..zoo.transformer_layers import FeedForward
from . import flatbuffer
from .isolation import ConversionError, run_isolated
from .signatures import check_model, check_tokenizer, in_float32, length_limits, save
from .static_quantize import quantize_static
from .tflite import TIMEOUT, check_ops
from .whole import scratch_folder

INTEGER_MODES = ("int8_static", "int16x8")
MODES = ("float32", *INTEGER_MODES)
# Which ops compute in 16 bits.
WIDE = {"int8_static": lambda op, name: False, "int16x8": lambda op, name: True}
# Sentences of the calibration; of more of them ranges hardly change.
MOST_SENTENCES = 64

# exp of it is 1e-13: nothing to a softmax. The usual -3e4 would leave an 8-bit score no digits.
PADDING_BIAS = -30.0
# What some device lacks: GPU delegates all but GELU, microcontrollers most of them.
NOT_PORTABLE = (
    "DYNAMIC_UPDATE_SLICE",
    "WHILE",
    "IF",
    "PACK",
    "SHAPE",
    "ONE_HOT",
    "GELU",
    "GATHER_ND",
    "REVERSE_V2",
    "BROADCAST_TO",
    "RANGE",
    "FILL",
    "EMBEDDING_LOOKUP",
)
MAX_RANK = 4


def convert(
    model,
    mode,
    *,
    max_source_length,
    max_target_length=None,
    tokenizer=None,
    calibration=(),
    integer_io=False,
    batch=1,
):
    """Converts a model to a file of static `encode` and `decode_step` that every runtime takes.

    | mode | weights of products | everything else |
    |---|---|---|
    | `"float32"` | float32 | float32 |
    | `"int8_static"` | int8, a scale a row | int8, one scale a tensor |
    | `"int16x8"` | int8, a scale a row | int16, one scale a tensor |

    Args:
        model: A `zoo.Seq2Seq`.
        mode: One of MODES.
        max_source_length: Tokens of each source, its end among them.
        max_target_length: Tokens that a step remembers. Default: `max_source_length`.
        tokenizer: The model's `Tokenizer`, for the integer modes.
        calibration: List of source texts, of the kind that the model was trained for and not of
            its tests: scales are those of the values met in translating them.
        integer_io: Signatures take and give integers, with the scales that the file states.
        batch: Sentences at a time; 1 for the integer modes.

    Returns:
        The file's bytes.

    Raises:
        ValueError: An argument is not as above.
        ConversionError: The converter failed, or the model needs what some device has not.

    Example:
        >>> from seq2lite import zoo
        >>> from seq2lite.export import portable
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50, hidden_dim=16, embedding_dim=16)
        >>> content = portable.convert(model, "float32", max_source_length=4)
        >>> portable.check_portable(content)["FULLY_CONNECTED"] > 0
        True
    """
    check_model(model)
    limits = length_limits(max_source_length, max_target_length, model.max_positions)
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {MODES}. Received: {mode!r}")
    if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
        raise ValueError(f"`batch` must be a positive integer. Received: {batch!r}")
    source = None
    if mode == "float32":
        if integer_io:
            raise ValueError("`integer_io` must be False with mode='float32'. Received: True")
    else:
        if batch != 1:
            raise ValueError(f"`batch` must be 1 with mode={mode!r}. Received: {batch}")
        check_tokenizer(model, tokenizer)
        source = _calibration_ids(tokenizer, calibration, max_source_length)
    model = in_float32(model)
    with scratch_folder() as folder:
        signatures = PortableSignatures(model, **limits, batch=batch)
        save(signatures, folder / "saved_model")
        file, inputs, observed = (folder / name for name in ("f.tflite", "in.npz", "out.npz"))
        run_isolated(".convert", folder / "saved_model", file, timeout=TIMEOUT)
        content = as_select_v2(file.read_bytes())
        check_portable(content)
        if mode == "float32":
            return content
        file.write_bytes(content)
        ids = {name: getattr(model, name) for name in ("start_id", "end_id", "pad_id")}
        np.savez(inputs, source=source, max_length=limits["max_target_length"], **ids)
        run_isolated(".static_calibration", file, inputs, observed, timeout=TIMEOUT)
        return quantize_static(
            content, dict(np.load(observed)), wide=WIDE[mode], integer_io=integer_io
        )


def _calibration_ids(tokenizer, texts, length):
    """Ids `(n, length)` of sentences of every length, padded."""
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"`calibration` must be a list of texts. Received: {texts!r:.80}")
    rows = sorted((ids[: length - 1] for ids in tokenizer.encode(texts) if ids), key=len)
    if not rows:
        raise ValueError("`calibration` must hold text: it gives the scales. Received: none")
    rows = [
        rows[i] for i in np.linspace(0, len(rows) - 1, min(len(rows), MOST_SENTENCES)).astype(int)
    ]
    source = np.full((len(rows), length), tokenizer.pad_id, np.int32)
    for row, ids in zip(source, rows, strict=True):
        row[: len(ids) + 1] = [*ids, tokenizer.end_id]
    return source


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

        shapes = {}

        @tf.function
        def encode(source):
            state = first(model, source, max_target_length)
            shapes.update({name: tensor.shape for name, tensor in state.items()})
            # No constants: some runtimes cannot give them.
            return {name: x for name, x in state.items() if name not in _zeros_at_first(model)}

        @tf.function
        def decode_step(token, **state):
            logits, after = further(model, token, state, max_target_length)
            # What stays is not handed back: some runtimes cannot give what they were given.
            changed = {name: x for name, x in after.items() if x is not state[name]}
            return {"logits": logits, **changed}

        self.encode, self.decode_step = encode, decode_step
        with _portable_layers(model):
            encode = encode.get_concrete_function(
                tf.TensorSpec((batch, max_source_length), tf.int32, name="source")
            )
            state = {
                name: tf.TensorSpec(
                    shape, tf.int32 if name == "position" else tf.float32, name=name
                )
                for name, shape in shapes.items()
            }
            step = decode_step.get_concrete_function(
                tf.TensorSpec((batch,), tf.int32, name="token"), **state
            )
        self.functions = {"encode": encode, "decode_step": step}


def _zeros_at_first(model):
    """What of the state is zeros before anything is said."""
    if isinstance(model, Transformer):
        names = {"position", "written"}
        for i in range(len(model.decoder_layers)):
            names |= {f"{name}_{i}" for name in ("self_keys", "self_values", "cell")}
        return names
    names = {"read_out"}
    if model.bridge == "zeros":
        for i in range(len(model.decoder)):
            names |= {f"{name}_{i}" for name in ("hidden", "cell")}
    return names


def check_portable(content):
    """Counts a file's ops by name; raises ConversionError at what some device cannot run.

    Args:
        content: A TFLite file's bytes.

    Raises:
        ConversionError: It names each op, type or rank that is in the way, and a tensor of it.
    """
    counts = check_ops(content)
    model = flatbuffer.read(content)
    faults = [f"{name} ({counts[name]} of them)" for name in NOT_PORTABLE if counts[name]]
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            shape = [] if tensor.shape is None else list(tensor.shape)
            name = tensor.name.decode()
            if tensor.type in (
                flatbuffer.schema.TensorType.INT64,
                flatbuffer.schema.TensorType.STRING,
            ):
                faults.append(f"64-bit integers or strings in {name}")
            if len(shape) > MAX_RANK:
                faults.append(f"rank {len(shape)} of {name}")
            if tensor.shapeSignature is not None and -1 in tensor.shapeSignature:
                faults.append(f"a dynamic size of {name}")
    if faults:
        raise ConversionError(
            "A portable file must have static shapes of rank 4 at the most, 32-bit integers, and none "
            f"of {', '.join(NOT_PORTABLE)}. Received: {'; '.join(faults[:8])}"
        )
    return counts


def single_signature(content, name):
    """A file of one signature of `content`: microcontrollers run the first graph of a file only."""
    model = flatbuffer.read(content)
    model.signatureDefs = [s for s in model.signatureDefs if s.signatureKey == name.encode()]
    (signature,) = model.signatureDefs
    model.subgraphs = [model.subgraphs[signature.subgraphIndex]]
    signature.subgraphIndex = 0
    flatbuffer.drop_unused(model)
    return flatbuffer.write(model)


def as_select_v2(content):
    """The same file with SELECT_V2 in the place of SELECT, which microcontrollers have not."""
    model = flatbuffer.read(content)
    schema = flatbuffer.schema
    for place, code in enumerate(model.operatorCodes):
        if code.builtinCode == schema.BuiltinOperator.SELECT:
            code.builtinCode = schema.BuiltinOperator.SELECT_V2
            code.deprecatedBuiltinCode, code.version = schema.BuiltinOperator.SELECT_V2, 1
            for graph in model.subgraphs:
                for operator in graph.operators:
                    if operator.opcodeIndex == place:
                        operator.builtinOptionsType = schema.BuiltinOptions.SelectV2Options
                        operator.builtinOptions = schema.SelectV2OptionsT()
    return flatbuffer.write(model)


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
    x = model.target_embedding.tokens(token, model.pad_id) * math.sqrt(model.model_dim)
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
    query, key, value = attention._split(x)
    query = attention.heads_of_one(query, attention.num_heads)
    key = attention.heads_of_one(key, attention.num_key_heads)
    value = attention.heads_of_one(value, attention.num_key_heads)
    if turn is not None:
        query, key = rotate(query, turn), rotate(key, turn)
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
    swaps = [(model, "padding_bias", lambda source: (1 - _is_token(source, model)) * PADDING_BIAS)]
    for layer in model._flatten_layers():
        if isinstance(layer, TokenEmbedding):
            swaps.append((layer, "gather", lambda table, ids: tf.gather(table, ids)))
            swaps.append((layer, "tokens", lambda ids, pad_id, layer=layer: layer(ids)))
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


def _is_token(ids, model):
    """1.0 at tokens, 0.0 at padding."""
    return ops.cast(ops.not_equal(ids, model.pad_id), "float32")


def _gelu(x):
    """The tanh form, written as a sigmoid: x (1 + tanh(u)) / 2 is x sigmoid(2 u)."""
    return x * ops.sigmoid(x * (2 * math.sqrt(2 / math.pi) * (1 + 0.044715 * x * x)))


def _unrolled(layer, x, token):
    """`Recurrence.loop` without a loop: as many steps as a source is long.

    Backwards padding comes first, and leaves the zeros that the states begin with.
    """
    batch, length, dim = x.shape
    projected = ops.reshape(layer.project(ops.reshape(x, (-1, dim))), (batch, length, -1))
    keep = ops.cast(token, x.dtype)
    states = [ops.zeros((batch, layer.units)) for _ in CELLS[layer.cell].states]
    outputs = [None] * length
    for t in reversed(range(length)) if layer.backward else range(length):
        after = layer.step(projected[:, t], states)
        kept = keep[:, t : t + 1]
        states = [old + kept * (new - old) for new, old in zip(after, states, strict=True)]
        outputs[t] = ops.expand_dims(states[0], 1)
    return ops.concatenate(outputs, axis=1), states
