"""The LSTM for training on CPUs compared with Keras's layer: outputs, last states, gradients."""

import numpy as np
import pytest
import tensorflow as tf

from seq2lite.zoo.rnn.recurrence import Recurrence

BATCH, LENGTH, DIM, UNITS = 4, 6, 3, 5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def layer(rng, backward):
    recurrence = Recurrence("lstm", UNITS, backward=backward)
    recurrence.build((None, None, DIM))
    for weight in recurrence.trainable_variables:
        weight.assign(rng.normal(size=weight.shape))
    return recurrence


def results(call, inputs, weights, heads):
    """Return outputs, last states, and the gradients of a loss by inputs and weights."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs, states = call(*inputs)
        tensors = [outputs, *states]
        loss = sum(tf.reduce_sum(x * head) for x, head in zip(tensors, heads, strict=True))
    return [*tensors, *tape.gradient(loss, [*inputs, *weights])]


# No backward case has an initial state: no model of the zoo needs it, and Keras's layer outputs
# zeros, not the state, at padding in front.
@pytest.mark.parametrize(
    ("backward", "masked", "with_state"),
    [(False, False, False), (False, False, True), (False, True, True), (True, True, False)],
)
def test_outputs_states_and_gradients_equal_the_keras_layer(rng, backward, masked, with_state):
    recurrence = layer(rng, backward)
    weights = [weight.value for weight in recurrence.trainable_variables]
    mask = np.arange(LENGTH) < np.array([[6], [3], [1], [4]]) if masked else None
    shapes = [(BATCH, LENGTH, DIM)] + [(BATCH, UNITS)] * (2 if with_state else 0)
    inputs = [tf.constant(rng.normal(size=shape), "float32") for shape in shapes]
    heads = [rng.normal(size=shape) for shape in [(BATCH, LENGTH, UNITS)] + [(BATCH, UNITS)] * 2]
    heads = [tf.constant(head, "float32") for head in heads]

    def keras_layer(x, *states):
        outputs, *last_states = recurrence.layer(x, mask=mask, initial_state=list(states) or None)
        return (tf.reverse(outputs, [1]) if backward else outputs), last_states

    def ours(x, *states):
        return recurrence(x, mask=mask, initial_state=list(states) or None)

    expected = results(keras_layer, inputs, weights, heads)
    # Unknown lengths, as in training on batches of different lengths.
    specs = [tf.TensorSpec([*[None] * (len(x.shape) - 1), x.shape[-1]]) for x in inputs]
    run = tf.function(lambda *inputs: results(ours, inputs, weights, heads), specs)
    for result, reference in zip(run(*inputs), expected, strict=True):
        np.testing.assert_allclose(result, reference, atol=1e-5)


def test_padding_changes_neither_states_nor_gradients(rng):
    recurrence = layer(rng, backward=True)
    weights = [weight.value for weight in recurrence.trainable_variables]
    x = tf.constant(rng.normal(size=(1, 3, DIM)), "float32")
    padded = tf.concat([x, 9.0 * tf.ones((1, 2, DIM))], axis=1)
    heads = [tf.constant(0.0), *tf.constant(rng.normal(size=(2, UNITS)), "float32")]
    expected = results(lambda x: recurrence(x), [x], weights, heads)
    mask = np.array([[True] * 3 + [False] * 2])
    padded_results = results(lambda x: recurrence(x, mask=mask), [padded], weights, heads)
    np.testing.assert_array_equal(padded_results[3][:, 3:], 0)
    for number in (1, 2, 4, 5, 6):  # last states; kernel, recurrent kernel, bias
        np.testing.assert_allclose(padded_results[number], expected[number], atol=1e-6)
