"""A family that is not the zoo's, with float features as source: trained, searched, traced."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from random_models import randomize
from seq2lite import zoo
from seq2lite.export.signatures.dynamic import Signatures
from seq2lite.export.signatures.static import StaticSignatures
from toy_family import ToyFamily

FEATURES = 5


@pytest.fixture(scope="module")
def model():
    return randomize(ToyFamily(vocabulary_size=30, pad_id=0, start_id=0, end_id=3), scale=2)


def features(lengths, seed=0):
    source = np.random.default_rng(seed).normal(size=(len(lengths), max(lengths), FEATURES))
    for row, length in zip(source, lengths, strict=True):
        row[length:] = 0
    return source.astype("float32")


def test_two_steps_of_fit_lower_the_loss():
    keras.utils.set_random_seed(0)
    model = ToyFamily(vocabulary_size=30, pad_id=0, start_id=2, end_id=3)
    source, target = features([6] * 64), np.random.default_rng(1).integers(4, 9, (64, 4))
    inputs = {"source": source, "target": np.pad(target, ((0, 0), (1, 0)), constant_values=2)}
    answers = np.pad(target, ((0, 0), (0, 1)), constant_values=3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(model.peak_learning_rate), loss, jit_compile=False)
    before = model.evaluate(inputs, answers, verbose=0)
    model.fit(inputs, answers, batch_size=32, epochs=1, verbose=0)
    assert model.optimizer.iterations == 2
    assert model.evaluate(inputs, answers, verbose=0) < before


def test_greedy_search_takes_the_most_probable_token_of_each_step(model):
    source = features([7, 4, 1])
    tokens, lengths = (np.array(x) for x in zoo.greedy_search(model, source, 8))
    given = np.pad(tokens, ((0, 0), (1, 0)))
    best = np.array(model({"source": source, "target": given})).argmax(-1)
    for row, length, expected in zip(tokens, lengths, best, strict=True):
        np.testing.assert_array_equal(row[:length], expected[:length])
        assert length == 8 or expected[length] == model.end_id
    assert len({tuple(row) for row in tokens}) > 1


def test_a_beam_search_scores_its_targets_as_the_model_does(model):
    source = features([7, 4, 1])
    tokens, lengths, scores, weights = zoo.beam_search(
        model, source, 8, length_penalty=0.0, coverage_penalty=0.0, return_attention=True
    )
    tokens, lengths = np.array(tokens)[:, 0], np.array(lengths)[:, 0]
    ended = np.pad(tokens, ((0, 0), (0, 1)))
    ended[np.arange(3), lengths] = np.where(lengths < 8, model.end_id, model.pad_id)
    total, _ = zoo.score(model, source, ended)
    np.testing.assert_allclose(scores[:, 0], total, atol=1e-4)
    assert not np.array(weights)[1, :, :, 4:].any()
    unread, *_ = zoo.beam_search(model, source, 8, coverage_penalty=0.5)
    assert unread.shape[0] == 3


def test_samples_depend_on_the_source(model):
    tokens, _ = zoo.sample(model, features([7, 4]), 6, seed=1)
    others, _ = zoo.sample(model, features([7, 4], seed=1), 6, seed=1)
    assert np.array(tokens).tolist() != np.array(others).tolist()


@pytest.mark.parametrize("shape", [(2, 7), (2, 7, 4), (0, 7, FEATURES)])
def test_a_source_of_another_shape_is_refused(model, shape):
    message = (
        r"`source` must be (features of shape \(batch, source_length, 5\)|of at least one row)\."
    )
    with pytest.raises(ValueError, match=message):
        zoo.greedy_search(model, np.zeros(shape, "float32"), 8)


def test_dynamic_signatures_take_features_of_any_length(model):
    functions = Signatures(model, num_beams=2).functions
    assert functions["encode"].inputs[0].shape.as_list() == [None, None, FEATURES]
    for lengths in ([7, 4, 1], [3]):
        source = features(lengths)
        found = functions["generate"](source=tf.constant(source), max_length=tf.constant(8))
        tokens, token_lengths = zoo.greedy_search(model, source, 8)
        np.testing.assert_array_equal(found["tokens"], tokens)
        np.testing.assert_array_equal(found["length"], token_lengths)
        beams = functions["generate_beam"](source=tf.constant(source), max_length=tf.constant(8))
        expected, *_ = zoo.beam_search(model, source, 8, num_beams=2, num_hypotheses=2)
        np.testing.assert_array_equal(beams["tokens"], expected)


class Growing(ToyFamily):
    """Its state holds all tokens so far."""

    def encode(self, source):
        state = super().encode(source)
        return {**state, "tokens": keras.ops.zeros((keras.ops.shape(source)[0], 1), "int32")}

    def step(self, token, state):
        tokens = keras.ops.concatenate([state["tokens"], token[:, None]], axis=1)
        logits, state = super().step(token, state)
        return logits, {**state, "tokens": tokens}


def test_static_signatures_refuse_a_state_that_grows():
    model = Growing(vocabulary_size=30, pad_id=0, start_id=2, end_id=3)
    message = r"no step changes\. Received: tokens of shape \(1, 1\), then \(1, 2\)"
    with pytest.raises(ValueError, match=message):
        StaticSignatures(model, max_source_length=7, max_target_length=8)


def test_static_signatures_step_as_the_model_does(model):
    functions = StaticSignatures(model, max_source_length=7, max_target_length=8).functions
    source = features([4], seed=2)
    state = functions["encode"](source=tf.constant(np.pad(source, ((0, 0), (0, 3), (0, 0)))))
    token = np.array([5], np.int32)
    logits, expected = model.decode_step(token, model.encode(source))
    found = functions["decode_step"](token=tf.constant(token), **state)
    np.testing.assert_allclose(found["logits"], logits, atol=1e-5)
    np.testing.assert_allclose(found["hidden"], expected["hidden"], atol=1e-5)
    assert set(found) == {"logits", "hidden"}  # the host keeps the rest
