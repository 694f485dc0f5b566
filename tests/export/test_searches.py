"""Beam search and sampling in a TFLite file of built-in ops: token by token what Keras finds."""

import numpy as np
import pytest
import tensorflow as tf

from random_models import VOCABULARY, random_ids, small_model
from seq2lite import zoo
from seq2lite.export.conversion.converter import convert
from seq2lite.export.conversion.saved_model import save
from seq2lite.export.runtime.interpreter import open_interpreter
from seq2lite.export.tflite_file.targets import check_target

BEAM = {"num_beams": 4, "num_hypotheses": 3, "length_penalty": 0.8, "coverage_penalty": 0.2}
SAMPLE = {"temperature": 0.7, "top_k": 10, "top_p": 0.9}


class Searches(tf.Module):
    """What a user writes who wants another search in the file."""

    def __init__(self, model):
        super().__init__()
        self.weights = [variable.value for variable in model.variables]
        ids = tf.TensorSpec((None, None), tf.int32)

        @tf.function(input_signature=[ids, tf.TensorSpec((), tf.int32), ids])
        def beam(source, max_length, prefix):
            tokens, lengths, scores = zoo.beam_search(
                model, source, max_length, prefix=prefix, **BEAM
            )
            return {"tokens": tokens, "lengths": lengths, "scores": scores}

        @tf.function(input_signature=[ids, tf.TensorSpec((None, None), tf.float32)])
        def sample(source, draws):
            tokens, lengths = zoo.sample(model, source, tf.shape(draws)[1], draws=draws, **SAMPLE)
            return {"tokens": tokens, "lengths": lengths}

        self.functions = {"beam": beam, "sample": sample}


@pytest.fixture(params=["transformer", "transformer-ssru", "lstm-gnmt"], scope="module")
def searches(request, tmp_path_factory):
    """A model, and an interpreter of its file."""
    model = small_model(request.param)
    bias = model.output_projection.bias.numpy()
    ids = np.arange(VOCABULARY)
    bias = np.where(ids == model.pad_id, -1e4, np.where(ids == model.end_id, 1.0, bias))
    model.output_projection.bias.assign(bias)
    module, folder = Searches(model), tmp_path_factory.mktemp("searches")
    save(module, folder)
    content = convert(folder)
    assert "CUSTOM" not in check_target(content, "cpu")
    return model, open_interpreter(content, 1, "model.tflite")


@pytest.mark.parametrize("lengths", [[7, 4, 1], [5]])
def test_a_file_finds_the_beams_that_keras_finds(searches, lengths):
    model, interpreter = searches
    rng = np.random.default_rng(3)
    source = random_ids(rng, lengths)
    prefix = random_ids(rng, [2, 0, 1][: len(lengths)])
    found = interpreter.get_signature_runner("beam")(
        source=source, max_length=np.int32(20), prefix=prefix
    )
    tokens, token_lengths, scores = zoo.beam_search(model, source, 20, prefix=prefix, **BEAM)
    np.testing.assert_array_equal(found["tokens"], tokens)
    np.testing.assert_array_equal(found["lengths"], token_lengths)
    np.testing.assert_allclose(found["scores"], scores, atol=2e-5)


def test_a_file_draws_what_keras_draws(searches):
    model, interpreter = searches
    rng = np.random.default_rng(3)
    source = random_ids(rng, [7, 4, 1])
    draws = rng.uniform(size=(3, 20)).astype("float32")
    found = interpreter.get_signature_runner("sample")(source=source, draws=draws)
    tokens, lengths = zoo.sample(model, source, 20, draws=draws, **SAMPLE)
    np.testing.assert_array_equal(found["tokens"], tokens)
    np.testing.assert_array_equal(found["lengths"], lengths)
