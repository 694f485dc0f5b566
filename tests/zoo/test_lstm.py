"""The LSTM that trains on a CPU, against Keras's layer: outputs, last states, every gradient."""

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
    """Outputs, last states, and the gradients of a loss of them all by inputs and weights."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs, states = call(*inputs)
        everything = [outputs, *states]
        loss = sum(tf.reduce_sum(x * head) for x, head in zip(everything, heads, strict=True))
    return [*everything, *tape.gradient(loss, [*inputs, *weights])]


# Keras's layer gives zeros at padding that comes first, whatever its first state; no model of the
# zoo reads backward from a first state.
@pytest.mark.parametrize(
    ("backward", "masked", "with_state"),
    [(False, False, False), (False, False, True), (False, True, True), (True, True, False)],
)
def test_outputs_states_and_gradients_are_those_of_the_keras_layer(
    rng, backward, masked, with_state
):
    recurrence = layer(rng, backward)
    weights = [weight.value for weight in recurrence.trainable_variables]
    mask = np.arange(LENGTH) < np.array([[6], [3], [1], [4]]) if masked else None
    shapes = [(BATCH, LENGTH, DIM)] + [(BATCH, UNITS)] * (2 if with_state else 0)
    inputs = [tf.constant(rng.normal(size=shape), "float32") for shape in shapes]
    heads = [rng.normal(size=shape) for shape in [(BATCH, LENGTH, UNITS)] + [(BATCH, UNITS)] * 2]
    heads = [tf.constant(head, "float32") for head in heads]

    def keras_layer(x, *states):
        outputs, *after = recurrence.layer(x, mask=mask, initial_state=list(states) or None)
        return (tf.reverse(outputs, [1]) if backward else outputs), after

    def ours(x, *states):
        return recurrence(x, mask=mask, initial_state=list(states) or None)

    expected = results(keras_layer, inputs, weights, heads)
    # Lengths that no trace knows, as in training on batches of many lengths.
    specs = [tf.TensorSpec([*[None] * (len(x.shape) - 1), x.shape[-1]]) for x in inputs]
    run = tf.function(lambda *inputs: results(ours, inputs, weights, heads), specs)
    for got, want in zip(run(*inputs), expected, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_padding_changes_neither_states_nor_gradients(rng):
    recurrence = layer(rng, backward=True)
    weights = [weight.value for weight in recurrence.trainable_variables]
    x = tf.constant(rng.normal(size=(1, 3, DIM)), "float32")
    padded = tf.concat([x, 9.0 * tf.ones((1, 2, DIM))], axis=1)
    heads = [tf.constant(0.0), *tf.constant(rng.normal(size=(2, UNITS)), "float32")]
    expected = results(lambda x: recurrence(x), [x], weights, heads)
    mask = np.array([[True] * 3 + [False] * 2])
    got = results(lambda x: recurrence(x, mask=mask), [padded], weights, heads)
    np.testing.assert_array_equal(got[3][:, 3:], 0)
    for number in (1, 2, 4, 5, 6):  # last states; kernel, recurrent kernel, bias
        np.testing.assert_allclose(got[number], expected[number], atol=1e-6)
