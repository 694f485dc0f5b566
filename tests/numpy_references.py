"""Comparison of models with references in NumPy, and the functions that all references share."""

import keras
import numpy as np

from random_models import random_ids


def assert_equal(actual, expected, tolerance=5e-6):
    """Compare with a tolerance of about 40 float32 roundings of the largest value."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def assert_model_equals(model, reference):
    """Compare the logits and attention weights of `model` with those of a reference.

    Args:
        model: Keras model.
        reference: Function of the model, source ids and target ids without padding. It returns the
            logits, and the attention weights or None.
    """
    rng = np.random.default_rng(1)
    source = random_ids(rng, [7, 4, 1], model.source_vocabulary_size)
    target = random_ids(rng, [4, 6, 2], model.vocabulary_size)
    inputs = {"source": source, "target": target}
    logits, weights = np.array(model(inputs)), None
    if model.has_attention:
        weights = np.array(model(inputs, return_attention=True)[1])
    for i in range(len(source)):
        ids, target_ids = source[i][source[i] != 0], target[i][target[i] != 0]
        expected, expected_weights = reference(model, ids, target_ids)
        assert_equal(logits[i, : len(target_ids)], expected)
        assert (weights is None) == (expected_weights is None)
        if weights is not None:
            assert_equal(weights[i, : len(target_ids), : len(ids)], expected_weights)
            assert not weights[i, :, len(ids) :].any()


def exact(weight):
    return keras.ops.convert_to_numpy(weight).astype(np.float64)


def linear(dense):
    """Return W x + b as a function, without the activation."""
    kernel, bias = exact(dense.kernel), 0 if dense.bias is None else exact(dense.bias)
    return lambda x: x @ kernel + bias


def output(model):
    layer = model.output_projection
    table = exact(layer.tied_to.embeddings if layer.table is None else layer.table)
    bias = exact(layer.bias)
    return lambda x: table @ x + bias


def embedded(model, embedding, ids):
    rows = exact(embedding.embeddings)[ids]
    return list(rows * rows.shape[1] ** 0.5 if model.scale_embeddings else rows)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()
