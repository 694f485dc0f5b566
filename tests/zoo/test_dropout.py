"""The Dropout layer of the zoo, which draws 16 random bits per element."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2lite import zoo
from seq2lite.zoo.layers.dropout import Dropout


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_is_dropped_and_the_rest_scaled(rate, dtype):
    x = np.ones((400, 1000), "float32")
    y = np.float32(keras.ops.cast(Dropout(rate, seed=1, dtype=dtype)(x, training=True), "float32"))
    kept = y != 0
    # Five standard deviations of the dropped fraction of 400,000 elements.
    assert abs(1 - kept.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / x.size)
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-4 if dtype == "float32" else 8e-3)


def test_elements_are_dropped_independently():
    dropped = np.array(Dropout(0.3, seed=2)(np.ones((1000, 1001)), training=True)) == 0
    centred = dropped.ravel() - dropped.mean()
    for distance in (1, 2, 3, 4, 8, 1001):
        correlation = np.mean(centred[distance:] * centred[:-distance]) / centred.var()
        assert abs(correlation) < 5 / np.sqrt(centred.size), distance


@pytest.mark.parametrize("shape", [(0, 3), (1,), (5, 7), (3, 2, 3)])
def test_inputs_of_any_size_are_supported(shape):
    layer = Dropout(0.5, seed=3)
    assert layer(np.ones(shape), training=True).shape == shape


def test_each_call_draws_new_values_determined_by_the_seed():
    x = np.ones((8, 64))
    layer, same, other = Dropout(0.5, seed=4), Dropout(0.5, seed=4), Dropout(0.5, seed=5)
    first, second = np.array(layer(x, training=True)), np.array(layer(x, training=True))
    assert (first != second).any() and (first != np.array(other(x, training=True))).any()
    np.testing.assert_array_equal(first, same(x, training=True))


def test_gradients_flow_through_kept_elements_only():
    layer, x = Dropout(0.4, seed=6), tf.ones((9, 11))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    np.testing.assert_array_equal(tape.gradient(y, x), y)


def test_eager_mode_graphs_of_unknown_shape_and_xla_draw_the_same():
    x = np.ones((6, 10), "float32")

    def graph(**options):
        layer = Dropout(0.5, seed=7)
        signature = [tf.TensorSpec([None, None])]
        return tf.function(lambda x: layer(x, training=True), signature, **options)(x)

    np.testing.assert_array_equal(graph(), Dropout(0.5, seed=7)(x, training=True))
    np.testing.assert_array_equal(graph(), graph(jit_compile=True))


def test_everything_is_dropped_at_rate_one():
    assert not np.array(Dropout(1.0)(np.ones((4, 4)), training=True)).any()


def test_a_noise_shape_drops_rows_together():
    y = np.array(Dropout(0.5, noise_shape=(64, 1), seed=8)(np.ones((64, 9)), training=True))
    assert (y == y[:, :1]).all() and 0 < y[:, 0].astype(bool).sum() < 64


def test_nothing_is_dropped_outside_training():
    x = np.ones((4, 4), "float32")
    np.testing.assert_array_equal(Dropout(0.9)(x), x)
    np.testing.assert_array_equal(Dropout(0.0)(x, training=True), x)


@pytest.fixture
def dropped_sizes(monkeypatch):
    """Sizes of the last axes of the tensors to which dropout is applied, in order."""
    sizes = []

    def call(self, inputs, training=False):
        if training:
            sizes.append(inputs.shape[-1])
        return inputs

    monkeypatch.setattr(Dropout, "call", call)
    return sizes


IDS = {"source": np.array([[5, 6, 3]]), "target": np.array([[2, 7]])}


@pytest.mark.parametrize("query", ["previous", "current"])  # step by step, layer by layer
def test_an_rnn_drops_embeddings_inputs_of_layers_and_the_read_out(dropped_sizes, query):
    model = zoo.rnn_seq2seq(
        vocabulary_size=20,
        num_layers=(3, 2),
        embedding_dim=5,
        encoder_dim=6,
        hidden_dim=7,
        read_out_dim=8,
        embeddings="separate",
        query=query,
    )
    model(IDS, training=True)
    assert dropped_sizes == [5, 6, 6, 5, 7, 8]
    model(IDS)
    assert len(dropped_sizes) == 6


def test_a_transformer_drops_embeddings_and_inside_and_after_each_sub_layer(dropped_sizes):
    model = zoo.transformer(
        vocabulary_size=20, num_layers=(2, 1), model_dim=8, num_heads=2, feed_forward_dim=12
    )
    model(IDS, training=True)
    assert dropped_sizes == [8, *[8, 12, 8] * 2, 8, 8, 8, 12, 8]
    model(IDS)
    assert len(dropped_sizes) == 12
