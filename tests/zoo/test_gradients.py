"""Gradients of attention and SSRU compared with central differences, in float64."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from random_models import randomize
from seq2lite.zoo.layers.softmax import MASK_BIAS
from seq2lite.zoo.rnn.attention import GlobalAttention
from seq2lite.zoo.shapes import built
from seq2lite.zoo.transformer.attention import CrossAttention, SelfAttention
from seq2lite.zoo.transformer.positions import RelativeBias, rotation
from seq2lite.zoo.transformer.ssru import SSRU

BATCH, LENGTH, MEMORY_LENGTH, DIM, NUM_HEADS = 2, 3, 5, 8, 4
TOKEN = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
# The truncation error of a difference is about STEP^2, its rounding error 2^-53 / STEP.
STEP, TOLERANCE = 1e-5, 1e-8


@pytest.fixture(autouse=True)
def double_precision():
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy("float32")


def normal(*shape, seed=0):
    return tf.Variable(np.random.default_rng(seed).normal(size=shape))


def assert_gradients(layer, inputs, function):
    """Check the gradient of a random sum of all outputs, in a random direction of each variable.

    Args:
        layer: Layer whose weights are checked.
        inputs: List of variables, which are checked too.
        function: Function from `inputs` to a list of tensors.
    """
    rng = np.random.default_rng(5)
    factors = None

    def loss():
        nonlocal factors
        outputs = function(*map(tf.convert_to_tensor, inputs))
        if factors is None:
            factors = [rng.normal(size=output.shape) for output in outputs]
        assert all(output.dtype == tf.float64 for output in outputs)
        return tf.add_n([tf.reduce_sum(f * y) for f, y in zip(factors, outputs, strict=True)])

    weights = [weight.value for weight in layer.trainable_variables]
    with tf.GradientTape() as tape:
        value = loss()
    variables = [*inputs, *weights]
    for variable, gradient in zip(variables, tape.gradient(value, variables), strict=True):
        assert gradient is not None, variable.name
        gradient = tf.convert_to_tensor(gradient)  # The gradient of a table is an IndexedSlices.
        start = variable.numpy()
        for _ in range(3):
            direction = rng.normal(size=start.shape)
            ends = []
            for sign in (1, -1):
                variable.assign(start + sign * STEP * direction)
                ends.append(loss())
            variable.assign(start)
            difference = (ends[0] - ends[1]) / (2 * STEP)
            expected = np.sum(gradient * direction)
            size = np.linalg.norm(gradient) * np.linalg.norm(direction)
            assert abs(difference - expected) <= TOLERANCE * size, variable.name


@pytest.mark.parametrize("score", ["additive", "dot", "general", "concat"])
def test_gradients_of_global_attention(score):
    memory_dim = DIM if score == "dot" else 6
    layer = built(GlobalAttention(score, 7), [(None, DIM), (None, None, memory_dim)])
    randomize(layer, scale=2)
    memory = normal(BATCH, MEMORY_LENGTH, memory_dim, seed=1)
    bias = MASK_BIAS * (~TOKEN).astype("float64")

    def outputs_of(attend):
        return lambda query, memory: attend(query, layer.keys(memory), memory, bias)

    assert_gradients(layer, [normal(BATCH, DIM), memory], outputs_of(layer))
    assert_gradients(layer, [normal(BATCH, LENGTH, DIM), memory], outputs_of(layer.over_sequence))


@pytest.mark.parametrize("is_rotary", [False, True])
@pytest.mark.parametrize("num_key_heads", [1, 2, 4])
def test_gradients_of_self_attention(num_key_heads, is_rotary):
    layer = randomize(built(SelfAttention(DIM, NUM_HEADS, num_key_heads), (None, DIM)), scale=2)
    future = np.triu(np.ones((MEMORY_LENGTH, MEMORY_LENGTH), bool), 1)
    bias = MASK_BIAS * (future | ~TOKEN[:, None, None]).astype("float64")
    angles = rotation(np.arange(MEMORY_LENGTH), DIM // NUM_HEADS) if is_rotary else None
    x = normal(BATCH * MEMORY_LENGTH, DIM)
    assert_gradients(layer, [x], lambda x: [layer(x, bias, angles, batch=BATCH)])


@pytest.mark.parametrize("is_bidirectional", [False, True])
def test_gradients_of_self_attention_with_relative_positions(is_bidirectional):
    attention = randomize(built(SelfAttention(DIM, NUM_HEADS, 2), (None, DIM)), scale=2)
    relative = randomize(built(RelativeBias(NUM_HEADS, is_bidirectional), None), scale=2)
    both = SimpleNamespace(trainable_variables=[*attention.weights, *relative.weights])
    position = np.arange(MEMORY_LENGTH)
    x = normal(BATCH * MEMORY_LENGTH, DIM)
    assert_gradients(both, [x], lambda x: [attention(x, relative(position, position), batch=BATCH)])


@pytest.mark.parametrize("num_key_heads", [1, 2, 4])
def test_gradients_of_cross_attention(num_key_heads):
    layer = randomize(built(CrossAttention(DIM, NUM_HEADS, num_key_heads), (None, DIM)), scale=2)
    bias = MASK_BIAS * (~TOKEN[:, None, None]).astype("float64")

    def attend(x, memory):
        return layer(x, layer.keys_values(memory, BATCH), bias, batch=BATCH)

    inputs = [normal(BATCH * LENGTH, DIM), normal(BATCH * MEMORY_LENGTH, DIM, seed=1)]
    assert_gradients(layer, inputs, attend)


def test_gradients_of_ssru():
    layer = randomize(built(SSRU(DIM), (None, DIM)), scale=2)
    x = normal(BATCH * LENGTH, DIM)
    assert_gradients(layer, [x], lambda x: [layer(x, batch=BATCH)])
