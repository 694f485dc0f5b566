"""Attentions, positions and cells against NumPy, written from the papers."""

import numpy as np
import pytest
from keras.ops import convert_to_numpy

from random_models import randomize
from seq2lite.zoo.attention import CrossAttention, GlobalAttention, SelfAttention
from seq2lite.zoo.contract import PADDING_BIAS, added
from seq2lite.zoo.recurrence import Recurrence
from seq2lite.zoo.transformer import sinusoidal_encoding

RNG = np.random.default_rng(3)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def weights(layer):
    return tuple(None if w is None else convert_to_numpy(w) for w in (layer.kernel, layer.bias))


@pytest.mark.parametrize("score", ["additive", "dot", "general", "concat"])
def test_global_attention_equals_the_papers(score):
    dim, memory_dim, length = 6, 6 if score == "dot" else 8, 5
    layer = randomize(added(GlobalAttention(score, 7), [(None, dim), (None, None, memory_dim)]))
    queries = RNG.normal(size=(2, 3, dim)).astype("float32")
    memory = RNG.normal(size=(2, length, memory_dim)).astype("float32")
    valid = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
    bias = np.where(valid, 0, PADDING_BIAS).astype("float32")

    expected = np.zeros((2, 3, memory_dim))
    for b in range(2):
        m = memory[b, valid[b]].astype(np.float64)
        for t in range(3):
            q = queries[b, t].astype(np.float64)
            if score == "dot":
                scores = m @ q
            elif score == "general":
                scores = m @ weights(layer.key_map)[0] @ q
            else:
                u, c = weights(layer.key_map)
                w = weights(layer.query_map)[0]
                stacked = np.concatenate([w, u])  # W [q; m], as in Luong's concat
                pairs = np.concatenate([np.tile(q, (len(m), 1)), m], axis=1)
                scores = np.tanh(pairs @ stacked + c) @ convert_to_numpy(layer.score_vector)
            expected[b, t] = softmax(scores) @ m

    keys = layer.keys(memory)
    once = np.stack([layer(queries[:, t], keys, memory, bias) for t in range(3)], axis=1)
    np.testing.assert_allclose(once, expected, atol=2e-6)
    np.testing.assert_allclose(
        layer.over_sequence(queries, keys, memory, bias), expected, atol=2e-6
    )


def reference_heads(query, keys, values, num_heads, allowed):
    """Equation 1 and section 3.2.2, head by head."""
    dim = query.shape[-1] // num_heads
    heads = []
    for h in range(num_heads):
        part = slice(h * dim, (h + 1) * dim)
        scores = query[:, part] @ keys[:, part].T / np.sqrt(dim)
        heads.append(softmax(np.where(allowed, scores, -np.inf)) @ values[:, part])
    return np.concatenate(heads, axis=-1)


def test_causal_self_attention_equals_the_paper_at_once_and_stepwise():
    dim, num_heads, length = 12, 3, 5
    layer = randomize(added(SelfAttention(dim, num_heads), (None, dim)), scale=2)
    x = RNG.normal(size=(length, dim)).astype("float32")
    kernel, bias = weights(layer.query_key_value)
    query, keys, values = np.split(x @ kernel + bias, 3, axis=-1)
    causal = np.tril(np.ones((length, length), bool))
    out_kernel, out_bias = weights(layer.output_projection)
    expected = reference_heads(query, keys, values, num_heads, causal) @ out_kernel + out_bias

    at_once = layer(x, np.where(causal, 0, PADDING_BIAS).astype("float32"), batch=1)
    np.testing.assert_allclose(at_once, expected, atol=3e-6)
    # Slots not yet written hold anything: the bias keeps them out.
    cache = [np.full((1, num_heads, length, dim // num_heads), 7, "float32")] * 2
    for t in range(length):
        free = np.where(np.arange(length) > t, PADDING_BIAS, 0).astype("float32")
        step, cache = layer.step(x[t : t + 1], cache, t, free[None, None])
        np.testing.assert_allclose(step[0], expected[t], atol=3e-6)


def test_cross_attention_equals_the_paper():
    dim, num_heads = 8, 2
    layer = randomize(added(CrossAttention(dim, num_heads), (None, dim)), scale=2)
    x = RNG.normal(size=(3, dim)).astype("float32")
    memory = RNG.normal(size=(4, dim)).astype("float32")
    kernel, bias = weights(layer.key_value)
    keys, values = np.split(memory @ kernel + bias, 2, axis=-1)
    kernel, bias = weights(layer.query)
    allowed = np.array([True, True, True, False])
    out_kernel, out_bias = weights(layer.output_projection)
    expected = reference_heads(x @ kernel + bias, keys, values, num_heads, allowed)
    expected = expected @ out_kernel + out_bias
    source_bias = np.where(allowed, 0, PADDING_BIAS).astype("float32")
    keys, values = layer.keys_values(memory, 1)
    np.testing.assert_allclose(
        layer(x, keys, values, source_bias[None, None, None], batch=1), expected, atol=3e-6
    )


def test_positions_equal_the_paper():
    dim = 10
    expected = np.zeros((300, dim))
    for position in range(300):
        for i in range(dim // 2):
            angle = position / 10000 ** (2 * i / dim)
            expected[position, 2 * i] = np.sin(angle)
            expected[position, 2 * i + 1] = np.cos(angle)
    np.testing.assert_allclose(sinusoidal_encoding(np.arange(300), dim), expected, atol=5e-5)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_recurrence_equals_the_equations(cell, backward):
    """Each sentence by itself, without padding: what masking must amount to."""
    units, dim, lengths = 5, 4, [6, 3, 1]
    layer = randomize(added(Recurrence(cell, units, backward), (None, None, dim)), scale=2)
    x = RNG.normal(size=(3, 6, dim)).astype("float32")
    token = np.arange(6) < np.array(lengths)[:, None]
    kernel, recurrent = (np.array(w, np.float64) for w in layer.layer.get_weights()[:2])
    biases = convert_to_numpy(layer.layer.cell.bias).reshape(-1, kernel.shape[1])

    outputs, states = layer.loop(x, token)
    for b, length in enumerate(lengths):
        h = c = np.zeros(units)
        order = range(length)[::-1] if backward else range(length)
        for t in order:
            if cell == "lstm":
                i, f, g, o = np.split(x[b, t] @ kernel + h @ recurrent + biases[0], 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            else:
                z, r, g = np.split(x[b, t] @ kernel + biases[0], 3)
                z_, r_, g_ = np.split(h @ recurrent + biases[1], 3)
                z, r = sigmoid(z + z_), sigmoid(r + r_)
                h = z * h + (1 - z) * np.tanh(g + r * g_)
            np.testing.assert_allclose(np.array(outputs)[b, t], h, atol=2e-6)
        np.testing.assert_allclose(np.array(states[0])[b], h, atol=2e-6)
        if cell == "lstm":
            np.testing.assert_allclose(np.array(states[1])[b], c, atol=2e-6)

    trained, trained_states = layer(x, mask=token)
    np.testing.assert_allclose(np.array(trained)[token], np.array(outputs)[token], atol=2e-6)
    np.testing.assert_allclose(trained_states, states, atol=2e-6)
