"""Beam search and sampling in a TFLite file of built-in ops: the tokens of Keras."""

import numpy as np
import pytest

from random_models import random_ids
from seq2lite import zoo
from seq2lite.export.runtime.interpreter import open_interpreter
from seq2lite.export.tflite_file.targets import check_target
from structures import BEAM, PARAMS, SAMPLE, SEARCHED


@pytest.fixture(params=[p for p in PARAMS if p.values[0] in SEARCHED], scope="module")
def searches(request, exported):
    """A model, and an interpreter of its file."""
    structure = exported(request.param)
    assert "CUSTOM" not in check_target(structure.content, "cpu")
    return structure.model, open_interpreter(structure.content, 1, "model.tflite")


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


def test_a_file_draws_the_same_samples_as_keras(searches):
    model, interpreter = searches
    rng = np.random.default_rng(3)
    source = random_ids(rng, [7, 4, 1])
    draws = rng.uniform(size=(3, 20)).astype("float32")
    found = interpreter.get_signature_runner("sample")(source=source, draws=draws)
    tokens, lengths = zoo.sample(model, source, 20, draws=draws, **SAMPLE)
    np.testing.assert_array_equal(found["tokens"], tokens)
    np.testing.assert_array_equal(found["lengths"], lengths)
