"""The loss, against its definition."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2lite.recipes.training.loss import SmoothedCrossentropy


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.5])
def test_the_loss_equals_keras_on_one_hot_targets(label_smoothing):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 5, (3, 4, 9)).astype("float32")
    targets = rng.integers(0, 9, (3, 4))
    weight = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], "float32")
    one_hot = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=label_smoothing, reduction="none"
    )(np.eye(9)[targets], logits)
    expected = (np.array(one_hot) * weight).sum() / weight.sum()
    loss = SmoothedCrossentropy(label_smoothing)(targets, logits, sample_weight=weight)
    assert float(loss) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_the_gradient_is_softmax_less_the_smoothed_target(label_smoothing, jit_compile):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 5, (3, 4, 9)).astype("float32")
    targets = rng.integers(0, 9, (3, 4))
    weight = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], "float32")

    @tf.function(jit_compile=jit_compile)
    def gradient(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = SmoothedCrossentropy(label_smoothing)(targets, logits, sample_weight=weight)
        return tape.gradient(loss, logits)

    smoothed = label_smoothing / 9 + (1 - label_smoothing) * np.eye(9)[targets]
    expected = (np.array(keras.ops.softmax(logits)) - smoothed) * weight[..., None] / weight.sum()
    np.testing.assert_allclose(gradient(tf.constant(logits)), expected, atol=1e-7)


def test_the_loss_is_saved_with_its_smoothing():
    loss = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(SmoothedCrossentropy(0.3))
    )
    assert loss.label_smoothing == 0.3


@pytest.mark.parametrize("label_smoothing", [-0.1, 1, 2])
def test_a_wrong_smoothing_is_named(label_smoothing):
    with pytest.raises(ValueError, match=r"`label_smoothing` must be in \[0, 1\). Received"):
        SmoothedCrossentropy(label_smoothing)
