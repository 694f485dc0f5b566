"""Layers and complete Transformers compared with PyTorch in float64, with the same weights."""

import numpy as np
import pytest
import torch
from keras.ops import convert_to_numpy
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from random_models import VOCABULARY, random_ids, randomize
from seq2lite import zoo
from seq2lite.zoo.layers.normalization import LayerNormalization, RMSNormalization
from seq2lite.zoo.layers.softmax import MASK_BIAS
from seq2lite.zoo.rnn.recurrence import Recurrence
from seq2lite.zoo.shapes import built
from seq2lite.zoo.transformer.attention import CrossAttention, SelfAttention

DIM, NUM_HEADS = 16, 4
LENGTHS = [6, 3, 1]
TOKEN = np.arange(6) < np.array(LENGTHS)[:, None]
CELLS = {"lstm": (nn.LSTM, nn.LSTMCell), "gru": (nn.GRU, nn.GRUCell)}


def assert_equal(actual, expected, tolerance=5e-6):
    """Compare with a tolerance of about 40 float32 roundings of the largest value."""
    expected = expected.detach().numpy() if torch.is_tensor(expected) else expected
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def normal(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def double(x):
    return torch.from_numpy(convert_to_numpy(x)).double()


def fill(module, **values):
    """Set parameters by name."""
    for name, value in values.items():
        parameter = getattr(module, name)
        assert parameter.shape == value.shape, name
        parameter.data = double(value)


def fill_cell(module, recurrence, suffix):
    """Set the weights of a cell. PyTorch orders the GRU's gates r, z, n, and Keras z, r, n."""
    cell = recurrence.layer.cell
    bias = convert_to_numpy(cell.bias)
    # PyTorch's LSTM adds two biases.
    bias, recurrent_bias = (bias, np.zeros_like(bias)) if recurrence.cell == "lstm" else bias
    values = {
        "weight_ih": convert_to_numpy(cell.kernel).T,
        "weight_hh": convert_to_numpy(cell.recurrent_kernel).T,
        "bias_ih": bias,
        "bias_hh": recurrent_bias,
    }
    if recurrence.cell == "gru":
        for name, value in values.items():
            update, reset, candidate = np.split(value, 3)
            values[name] = np.concatenate([reset, update, candidate])
    fill(module, **{name + suffix: value for name, value in values.items()})


def fill_linear(linear, dense):
    fill(linear, weight=convert_to_numpy(dense.kernel).T, bias=convert_to_numpy(dense.bias))


def fill_self_attention(module, attention):
    dense = attention.query_key_value
    fill(
        module,
        in_proj_weight=convert_to_numpy(dense.kernel).T,
        in_proj_bias=convert_to_numpy(dense.bias),
    )
    fill_linear(module.out_proj, attention.output_projection)


def fill_cross_attention(module, attention):
    query, key_value = attention.query, attention.key_value
    fill(
        module,
        in_proj_weight=np.concatenate([query.kernel, key_value.kernel], axis=1).T,
        in_proj_bias=np.concatenate([query.bias, key_value.bias]),
    )
    fill_linear(module.out_proj, attention.output_projection)


def multi_head_attention():
    return nn.MultiheadAttention(DIM, NUM_HEADS, batch_first=True, dtype=torch.float64)


def future(length):
    """Return a mask that is True where a query (first axis) must not attend."""
    return np.triu(np.ones((length, length), bool), 1)


@pytest.mark.parametrize("cell", CELLS)
def test_two_recurrences_equal_a_bidirectional_torch_layer(cell):
    units, dim = 5, 4
    directions = [
        randomize(built(Recurrence(cell, units, backward), (None, None, dim)), seed, scale=2)
        for seed, backward in enumerate((False, True))
    ]
    module = CELLS[cell][0](dim, units, batch_first=True, bidirectional=True, dtype=torch.float64)
    for recurrence, suffix in zip(directions, ("_l0", "_l0_reverse"), strict=True):
        fill_cell(module, recurrence, suffix)
    x = normal(3, 6, dim)
    packed = pack_padded_sequence(double(x), LENGTHS, batch_first=True)
    outputs, states = module(packed)
    outputs, _ = pad_packed_sequence(outputs, batch_first=True)
    outputs = outputs.reshape(3, 6, 2, units).detach().numpy()
    states = states if cell == "lstm" else (states,)
    for i, recurrence in enumerate(directions):
        for result in (recurrence(x, mask=TOKEN), recurrence.stepwise(x, TOKEN)):
            assert_equal(np.array(result[0])[TOKEN], outputs[TOKEN][:, i])
            assert len(result[1]) == len(states)
            for actual, expected in zip(result[1], states, strict=True):
                assert_equal(actual, expected[i])


@pytest.mark.parametrize("cell", CELLS)
def test_a_recurrence_with_an_initial_state_equals_torch(cell):
    """As in a decoder: all tokens at once in training, one by one in a search."""
    units, dim = 5, 4
    recurrence = randomize(built(Recurrence(cell, units), (None, None, dim)), scale=2)
    module = CELLS[cell][1](dim, units, dtype=torch.float64)
    fill_cell(module, recurrence, "")
    x = normal(3, 4, dim)
    first = states = [normal(3, units, seed=seed) for seed in range(2 if cell == "lstm" else 1)]
    expected = [double(state) for state in first]
    hidden = []
    for t in range(4):
        state = module(double(x[:, t]), tuple(expected) if cell == "lstm" else expected[0])
        expected = state if cell == "lstm" else [state]
        states = recurrence.step(recurrence.project(x[:, t]), states)
        for actual, state in zip(states, expected, strict=True):
            assert_equal(actual, state)
        hidden.append(expected[0])
    outputs, states = recurrence(x, initial_state=first)
    assert_equal(outputs, torch.stack(hidden, dim=1))
    for actual, state in zip(states, expected, strict=True):
        assert_equal(actual, state)


def test_causal_self_attention_equals_torch_with_padding_and_stepwise():
    layer = randomize(built(SelfAttention(DIM, NUM_HEADS, NUM_HEADS), (None, DIM)), scale=2)
    module = multi_head_attention()
    fill_self_attention(module, layer)
    x = normal(3, 6, DIM)
    expected, _ = module(
        *[double(x)] * 3,
        attn_mask=torch.from_numpy(future(6)),
        key_padding_mask=torch.from_numpy(~TOKEN),
    )
    bias = MASK_BIAS * (future(6) | ~TOKEN[:, None, None]).astype("float32")
    at_once = layer(x.reshape(-1, DIM), bias, batch=3)
    assert_equal(np.reshape(at_once, x.shape)[TOKEN], expected[TOKEN])
    # Empty slots contain arbitrary values, which the bias masks. The last t + 1 slots are in use.
    old, recent = (3, NUM_HEADS, 2, DIM // NUM_HEADS), (3, 2 * NUM_HEADS, 4, DIM // NUM_HEADS)
    cache = [np.full(shape, 7, "float32") for shape in (old, old, recent)]
    for t in range(6):
        if t in (4, 5):
            cache = layer.grow(cache, 1)
        slots = cache[0].shape[2] + cache[2].shape[2]
        empty = MASK_BIAS * (np.arange(slots) < slots - t - 1).astype("float32")
        step, cache = layer.step(x[:, t], cache, empty[None, None, None])
        is_token = TOKEN[:, t]
        assert_equal(np.array(step)[is_token], expected[is_token, t])


def test_cross_attention_and_its_weights_equal_torch():
    layer = randomize(built(CrossAttention(DIM, NUM_HEADS, NUM_HEADS), (None, DIM)), scale=2)
    module = multi_head_attention()
    fill_cross_attention(module, layer)
    x, memory = normal(3, 4, DIM), normal(3, 6, DIM, seed=4)
    expected, expected_weights = module(
        double(x),
        *[double(memory)] * 2,
        key_padding_mask=torch.from_numpy(~TOKEN),
        average_attn_weights=False,
    )
    bias = MASK_BIAS * (~TOKEN[:, None, None]).astype("float32")
    keys_values = layer.keys_values(memory.reshape(-1, DIM), 3)
    at_once, weights = layer(x.reshape(-1, DIM), keys_values, bias, batch=3)
    assert_equal(np.reshape(at_once, x.shape), expected)
    assert_equal(weights, expected_weights)
    step, weights = layer.step(x[:, 2], keys_values, bias)
    assert_equal(step, expected[:, 2])
    assert_equal(weights[:, :, 0], expected_weights[:, :, 2])


def heads(x, num_heads):
    return double(x).unflatten(-1, (num_heads, -1)).transpose(1, 2)


@pytest.mark.parametrize("num_key_heads", [1, 2])
def test_grouped_query_attention_equals_torch(num_key_heads):
    sizes = DIM, NUM_HEADS, num_key_heads
    key_dim = DIM // NUM_HEADS * num_key_heads
    self_attention = randomize(built(SelfAttention(*sizes), (None, DIM)), scale=2)
    cross = randomize(built(CrossAttention(*sizes), (None, DIM)), scale=2)
    x, memory = normal(3, 6, DIM), normal(3, 6, DIM, seed=4)

    def expected(layer, query, key, value, allowed):
        context = functional.scaled_dot_product_attention(
            heads(query, NUM_HEADS),
            heads(key, num_key_heads),
            heads(value, num_key_heads),
            attn_mask=torch.from_numpy(allowed),
            enable_gqa=True,
        )
        context = context.transpose(1, 2).flatten(2).numpy()
        return (
            context @ convert_to_numpy(layer.output_projection.kernel)
            + layer.output_projection.bias
        )

    def dense(layer, x):
        return x @ convert_to_numpy(layer.kernel) + layer.bias

    parts = np.split(dense(self_attention.query_key_value, x), [DIM, DIM + key_dim], axis=-1)
    allowed = ~future(6) & TOKEN[:, None, None]
    bias = MASK_BIAS * (~allowed).astype("float32")
    at_once = np.reshape(self_attention(x.reshape(-1, DIM), bias, batch=3), x.shape)
    assert_equal(at_once[TOKEN], np.array(expected(self_attention, *parts, allowed))[TOKEN])

    parts = [dense(cross.query, x), *np.split(dense(cross.key_value, memory), 2, axis=-1)]
    allowed = TOKEN[:, None, None]
    bias = MASK_BIAS * (~allowed).astype("float32")
    keys_values = cross.keys_values(memory.reshape(-1, DIM), 3)
    at_once, _ = cross(x.reshape(-1, DIM), keys_values, bias, batch=3)
    assert_equal(np.reshape(at_once, x.shape), expected(cross, *parts, allowed))


# Small values too, where epsilon matters.
@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0])
def test_normalizations_equal_torch(size):
    x = size * (normal(5, DIM) + 0.5)
    layer = randomize(built(LayerNormalization(), (None, DIM)))
    expected = functional.layer_norm(
        double(x), (DIM,), double(layer.gamma), double(layer.beta), eps=1e-5
    )
    assert_equal(layer(x), expected)
    layer = randomize(built(RMSNormalization(), (None, DIM)))
    assert_equal(layer(x), functional.rms_norm(double(x), (DIM,), double(layer.gamma), eps=1e-6))


def embed(embedding, ids):
    """Vaswani et al. 2017, sections 3.4 and 3.5."""
    table = double(embedding.embeddings)
    position = torch.arange(ids.shape[1]).double()[:, None]
    angle = position / 10000 ** (torch.arange(0, DIM, 2).double() / DIM)
    encoding = torch.stack([torch.sin(angle), torch.cos(angle)], dim=-1).flatten(1)
    return table[torch.from_numpy(ids).long()] * DIM**0.5 + encoding


def fill_norm(module, norm):
    fill(module, weight=convert_to_numpy(norm.gamma), bias=convert_to_numpy(norm.beta))


def torch_transformer(model, activation):
    """`nn.Transformer` with the weights of `model`."""
    options = model.get_config()
    module = nn.Transformer(
        DIM,
        NUM_HEADS,
        *options["num_layers"],
        options["feed_forward_dim"],
        dropout=0,
        activation=activation,
        layer_norm_eps=1e-5,
        batch_first=True,
        norm_first=options["norm_first"],
        dtype=torch.float64,
    )
    sides = [
        (module.encoder, model.encoder_layers, "encoder_norm", ["norm1", "norm2"]),
        (module.decoder, model.decoder_layers, "decoder_norm", ["norm1", "norm3"]),
    ]
    for stack, layers, last_norm, norms in sides:
        for theirs, ours in zip(stack.layers, layers, strict=True):
            fill_self_attention(theirs.self_attn, ours.self_attention)
            fill_linear(theirs.linear1, ours.feed_forward.inner)
            fill_linear(theirs.linear2, ours.feed_forward.outer)
            fill_norm(getattr(theirs, norms[0]), ours.self_attention_norm)
            fill_norm(getattr(theirs, norms[1]), ours.feed_forward_norm)
        if model.norm_first:
            fill_norm(stack.norm, getattr(model, last_norm))
        else:
            stack.norm = None  # PyTorch has one normalization more than the paper.
    for theirs, ours in zip(module.decoder.layers, model.decoder_layers, strict=True):
        fill_cross_attention(theirs.multihead_attn, ours.cross_attention)
        fill_norm(theirs.norm2, ours.cross_attention_norm)
    return module


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_transformer_equals_torch(activation, norm_first):
    model = zoo.transformer(
        vocabulary_size=VOCABULARY,
        source_vocabulary_size=70,
        num_layers=(3, 2),
        model_dim=DIM,
        num_heads=NUM_HEADS,
        feed_forward_dim=24,
        activation=activation,
        norm_first=norm_first,
        embeddings="separate",
    )
    randomize(model, scale=2)
    gelu = lambda x: functional.gelu(x, approximate="tanh")  # noqa: E731
    module = torch_transformer(model, gelu if activation == "gelu" else functional.relu)
    rng = np.random.default_rng(1)
    source = random_ids(rng, [9, 4, 1], vocabulary_size=70)
    target = random_ids(rng, [5, 7, 2])
    padding = torch.from_numpy(source == 0)
    x = module(
        embed(model.source_embedding, source),
        embed(model.target_embedding, target),
        tgt_mask=torch.from_numpy(future(7)),
        src_key_padding_mask=padding,
        memory_key_padding_mask=padding,
    )
    output = model.output_projection
    expected = x @ double(output.table).T + double(output.bias)
    logits = np.array(model({"source": source, "target": target}))
    assert_equal(logits[target != 0], expected[target != 0])
