"""One `.keras` file under each Keras backend; TensorFlow's answers are this process's."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from random_models import float32_file, random_ids, small_model
from seq2lite import zoo
from seq2lite.export.runtime.interpreter import interpreter_search

pytestmark = pytest.mark.long
SCRIPT = Path(__file__).with_name("backend_answers.py")
CASES = [
    "transformer",
    "transformer-learned-gelu",
    "transformer-rotary-rms-swiglu-grouped",
    "transformer-relative",
    "transformer-ssru",
    "lstm-sutskever",
    "gru-bahdanau",
    "lstm-luong",
    "lstm-gnmt",
]


def run(backend, *arguments):
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with each case's model, the ids they read, and the models by name."""
    folder = tmp_path_factory.mktemp("saved")
    rng = np.random.default_rng(1)
    inputs = {"source": random_ids(rng, [7, 4, 1]), "target": random_ids(rng, [6, 6, 3])}
    np.savez(folder / "inputs.npz", **inputs)
    models = {case: small_model(case) for case in CASES}
    for case, model in models.items():
        model.save(folder / f"{case}.keras")
    return folder, inputs, models


@pytest.fixture(scope="module", params=["jax", "torch"])
def answers(request, saved):
    folder, _, models = saved
    output = folder / f"{request.param}.npz"
    run(request.param, folder / "inputs.npz", output, *(folder / f"{m}.keras" for m in models))
    return np.load(output)


@pytest.mark.parametrize("case", CASES)
def test_the_same_file_gives_the_same_logits(case, saved, answers):
    _, inputs, models = saved
    expected = np.array(models[case](inputs))
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(answers[f"{case}/logits"], expected, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_the_same_file_finds_the_same_tokens(case, saved, answers):
    _, inputs, models = saved
    tokens, lengths = zoo.greedy_search(models[case], inputs["source"], 20)
    found = answers[f"{case}/tokens"][:, : tokens.shape[1]]  # JAX leaves the padding
    np.testing.assert_array_equal(found, tokens)
    np.testing.assert_array_equal(answers[f"{case}/lengths"], lengths)
    beams, lengths, scores = zoo.beam_search(models[case], inputs["source"], 20, num_hypotheses=2)
    np.testing.assert_array_equal(answers[f"{case}/beams"][:, :, : beams.shape[2]], beams)
    np.testing.assert_array_equal(answers[f"{case}/beam_lengths"], lengths)
    np.testing.assert_allclose(answers[f"{case}/scores"], scores, atol=1e-4)


@pytest.mark.parametrize("preset", ["transformer_tiny", "rnn_tiny"])
def test_a_model_trained_under_jax_is_exported_here(preset, tmp_path):
    run("jax", "--train", tmp_path / "model.keras", preset, 1000)
    model = keras.saving.load_model(tmp_path / "model.keras")
    search = interpreter_search(float32_file(model, tmp_path), 1, "model.tflite")
    source = random_ids(np.random.default_rng(1), [7, 4, 1], vocabulary_size=1000)
    for found, expected in zip(
        search(source, 12), zoo.greedy_search(model, source, 12), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
