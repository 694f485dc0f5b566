"""Transformers and their layers compared with NumPy in float64, written from the papers.

The reference of a model processes one sentence and one token at a time. Where a builder differs
from its paper, a docstring of the reference states how.
"""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from numpy_references import (
    assert_equal,
    assert_model_equals,
    exact,
    linear,
    output,
    sigmoid,
    softmax,
)
from random_models import TRANSFORMERS, randomize, small_model
from seq2lite.zoo.shapes import built
from seq2lite.zoo.transformer.layers import FeedForward
from seq2lite.zoo.transformer.positions import RelativeBias, rotate, rotation, sinusoidal_encoding
from seq2lite.zoo.transformer.ssru import SSRU


def sinusoids(num_positions, dim):
    """Vaswani et al. 2017, section 3.5."""
    encoding = np.zeros((num_positions, dim))
    for position in range(num_positions):
        for i in range(dim // 2):
            angle = position / 10000 ** (2 * i / dim)
            encoding[position, 2 * i] = math.sin(angle)
            encoding[position, 2 * i + 1] = math.cos(angle)
    return encoding


def rotate_pairs(x):
    """Su et al. 2021, equation 15: pairs of x `(length, dim)` as complex numbers, times e^(i m t)."""
    half = x.shape[1] // 2
    t = 10000.0 ** (-2 * np.arange(half) / x.shape[1])
    z = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * np.arange(len(x))[:, None] * t)
    return np.concatenate([z.real, z.imag], axis=1)


def t5_bucket(relative_position, bidirectional, num_buckets=32, max_distance=128):
    """`_relative_position_bucket` of the code of Raffel et al. (Mesh TensorFlow), in float32."""
    ret, n = 0, -relative_position
    if bidirectional:
        num_buckets //= 2
        ret += (n < 0) * num_buckets
        n = np.abs(n)
    else:
        n = np.maximum(n, 0)
    max_exact = num_buckets // 2
    ratio = np.maximum(n, 1).astype(np.float32) / np.float32(max_exact)
    scale = np.float32(math.log(max_distance / max_exact))
    large = np.log(ratio) / scale * np.float32(num_buckets - max_exact)
    large = np.minimum(max_exact + large.astype(np.int32), num_buckets - 1)
    return ret + np.where(n < max_exact, n, large)


def feed_forward(layer, x):
    """Vaswani et al. 2017, equation 2; GELU in its tanh form; Shazeer 2020, equation 6."""
    outer, kernel, bias = linear(layer.outer), exact(layer.inner.kernel), exact(layer.inner.bias)
    if layer.activation == "swiglu":
        (w, v), (b, c) = np.split(kernel, 2, axis=1), np.split(bias, 2)
        gate = x @ w + b
        return outer(gate * sigmoid(gate) * (x @ v + c))
    x = x @ kernel + bias
    if layer.activation == "gelu":
        return outer(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    return outer(np.maximum(x, 0))


def ssru(layer, xs):
    """Kim et al. 2019, section 3: a forget gate and a ReLU."""
    forget, candidate = linear(layer.forget), linear(layer.candidate)
    c, outputs = np.zeros(layer.dim), []
    for x in xs:
        f = sigmoid(forget(x))
        c = f * c + (1 - f) * candidate(x)
        outputs.append(np.maximum(c, 0))
    return np.array(outputs)


def normalize(norm, x):
    if hasattr(norm, "beta"):
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
        return x * exact(norm.gamma) + exact(norm.beta)
    return x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-6) * exact(norm.gamma)


def attention(layer, query, keys, values, bias, rotary=lambda x: x):
    """Vaswani et al. 2017, equation 1, head by head.

    `bias` is `(num_heads, queries, keys)`. Returns the output and the mean weights of the heads.
    """
    contexts, all_weights = [], []
    shared_by = layer.num_heads // layer.num_key_heads
    for h, q in enumerate(np.split(query, layer.num_heads, axis=1)):
        k, v = (np.split(x, layer.num_key_heads, axis=1)[h // shared_by] for x in (keys, values))
        scores = rotary(q) @ rotary(k).T / math.sqrt(q.shape[1]) + bias[h]
        weights = np.array([softmax(row) for row in scores])
        contexts.append(weights @ v)
        all_weights.append(weights)
    context = np.concatenate(contexts, axis=1)
    return linear(layer.output_projection)(context), np.mean(all_weights, axis=0)


def transformer(model, source, target):
    """Vaswani et al. 2017 with the options of `zoo.transformer`."""
    options = model.get_config()
    rotary = rotate_pairs if options["positions"] == "rotary" else lambda x: x

    def embed(embedding, positions, ids):
        x = exact(embedding.embeddings)[ids] * math.sqrt(options["model_dim"])
        if options["positions"] == "sinusoidal":
            x = x + sinusoids(len(ids), options["model_dim"])
        elif options["positions"] == "learned":
            x = x + exact(positions.embeddings)[: len(ids)]
        return x

    def bias_of(relative, length, bidirectional):
        position = np.arange(length)
        distance = position[None] - position[:, None]
        bias = np.zeros((options["num_heads"], length, length))
        if relative is not None:
            bias += np.moveaxis(exact(relative.table)[t5_bucket(distance, bidirectional)], 2, 0)
        return bias if bidirectional else np.where(distance > 0, -np.inf, bias)

    def residual(x, norm, sub_layer):
        if options["norm_first"]:
            return x + sub_layer(normalize(norm, x))
        return normalize(norm, x + sub_layer(x))

    def self_attention(layer, bias):
        if isinstance(layer, SSRU):
            return lambda x: ssru(layer, x)
        bounds = np.cumsum([options["model_dim"], layer.key_dim])

        def apply(x):
            parts = np.split(linear(layer.query_key_value)(x), bounds, axis=1)
            return attention(layer, *parts, bias, rotary)[0]

        return apply

    x = embed(model.source_embedding, model.source_positions, source)
    bias = bias_of(model.encoder_bias, len(source), True)
    for layer in model.encoder_layers:
        x = residual(x, layer.self_attention_norm, self_attention(layer.self_attention, bias))
        x = residual(x, layer.feed_forward_norm, partial(feed_forward, layer.feed_forward))
    memory = normalize(model.encoder_norm, x) if options["norm_first"] else x

    x = embed(model.target_embedding, model.target_positions, target)
    bias = bias_of(model.decoder_bias, len(target), False)
    no_bias = np.zeros((options["num_heads"], 1, 1))
    weights = None

    def cross_attention(layer, x):
        nonlocal weights
        keys, values = np.split(linear(layer.key_value)(memory), 2, axis=1)
        x, weights = attention(layer, linear(layer.query)(x), keys, values, no_bias)
        return x

    for layer in model.decoder_layers:
        x = residual(x, layer.self_attention_norm, self_attention(layer.self_attention, bias))
        x = residual(x, layer.cross_attention_norm, partial(cross_attention, layer.cross_attention))
        x = residual(x, layer.feed_forward_norm, partial(feed_forward, layer.feed_forward))
    x = normalize(model.decoder_norm, x) if options["norm_first"] else x
    return [output(model)(row) for row in x], weights


@pytest.mark.parametrize("case", TRANSFORMERS)
def test_a_transformer_equals_the_papers(case):
    # With weights of scale 2, rounding the weights alone changes some logits by 1e-5.
    assert_model_equals(randomize(small_model(case), scale=1), transformer)


def test_ssru_equals_the_paper_at_once_and_stepwise():
    layer = randomize(built(SSRU(8), (None, 8)), scale=2)
    x = np.random.default_rng(3).normal(size=(2, 7, 8)).astype("float32")
    expected = np.array([ssru(layer, row) for row in x])
    assert_equal(layer(x.reshape(14, 8), batch=2), expected.reshape(14, 8))
    state = layer.first_state(2, 1)
    for t in range(7):
        step, state = layer.step(x[:, t], state)
        assert_equal(step, expected[:, t])


@pytest.mark.parametrize("activation", ["relu", "gelu", "swiglu"])
def test_feed_forward_equals_the_papers(activation):
    options = {"model_dim": 8, "feed_forward_dim": 12, "activation": activation, "dropout": 0.1}
    layer = randomize(built(FeedForward(SimpleNamespace(**options)), (None, 8)), scale=2)
    x = np.random.default_rng(3).normal(size=(20, 8)).astype("float32")
    assert_equal(layer(x), feed_forward(layer, x))


# An angle of 300 radians is rounded twice: its frequency, and the angle itself.
FAR, FAR_TOLERANCE = 300, 300 * 2.0**-23


def test_sinusoids_equal_the_paper():
    expected = sinusoids(FAR, 10)
    assert_equal(sinusoidal_encoding(np.arange(FAR), 10), expected, FAR_TOLERANCE)


def test_rotation_is_a_complex_product():
    x = np.random.default_rng(3).normal(size=(FAR, 6)).astype("float32")
    assert_equal(rotate(x, rotation(np.arange(FAR), 6)), rotate_pairs(x), FAR_TOLERANCE)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_biases_are_those_of_t5s_buckets(bidirectional):
    layer = randomize(built(RelativeBias(3, bidirectional), None))
    query, key = np.arange(0, 400, 57, dtype=np.int32), np.arange(400, dtype=np.int32)
    buckets = t5_bucket(key[None] - query[:, None], bidirectional)
    assert len(np.unique(buckets)) == (31 if bidirectional else 32)
    expected = np.moveaxis(exact(layer.table)[buckets], 2, 0)
    np.testing.assert_array_equal(layer(query, key), expected[None])
