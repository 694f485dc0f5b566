"""The same `.keras` file under each Keras backend. This process runs TensorFlow."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from backend_answers import CONSTRAINTS
from random_models import float32_file, random_ids, small_model, with_large_scores
from seq2lite import zoo
from seq2lite.export.runtime.engine import FileEngine
from seq2lite.export.runtime.interpreter import ModelFile

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
    process = subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of all saved models, their input ids, and the models by case."""
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
def test_a_saved_model_has_the_same_logits(case, saved, answers):
    _, inputs, models = saved
    expected = np.array(models[case](inputs))
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(answers[f"{case}/logits"], expected, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_a_saved_model_generates_the_same_tokens(case, saved, answers):
    _, inputs, models = saved
    tokens, lengths = zoo.greedy_search(models[case], inputs["source"], 20)
    found = answers[f"{case}/tokens"][:, : tokens.shape[1]]  # JAX keeps the padding.
    np.testing.assert_array_equal(found, tokens)
    np.testing.assert_array_equal(answers[f"{case}/lengths"], lengths)
    beams, lengths, scores = zoo.beam_search(models[case], inputs["source"], 20, num_hypotheses=2)
    np.testing.assert_array_equal(answers[f"{case}/beams"][:, :, : beams.shape[2]], beams)
    np.testing.assert_array_equal(answers[f"{case}/beam_lengths"], lengths)
    np.testing.assert_allclose(answers[f"{case}/scores"], scores, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_a_saved_model_keeps_the_same_constraints(case, saved, answers):
    _, inputs, models = saved
    tokens, _ = zoo.greedy_search(models[case], inputs["source"], 12, **CONSTRAINTS)
    found = answers[f"{case}/constrained"][:, : tokens.shape[1]]
    np.testing.assert_array_equal(found, tokens)
    beams, _, scores = zoo.beam_search(models[case], inputs["source"], 12, **CONSTRAINTS)
    found = answers[f"{case}/constrained_beams"][:, :, : beams.shape[2]]
    np.testing.assert_array_equal(found, beams)
    np.testing.assert_allclose(answers[f"{case}/constrained_scores"], scores, atol=1e-4)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_padding_has_no_weight_where_scores_are_large(backend, saved, tmp_path):
    folder, _, _ = saved
    cases = "transformer-relative", "gru-bahdanau"
    for case in cases:
        with_large_scores(case, 1e6).save(tmp_path / f"{case}.keras")
    paths = [tmp_path / f"{case}.keras" for case in cases]
    run(backend, "--pad", folder / "inputs.npz", *paths)


@pytest.mark.parametrize("preset", ["transformer_tiny", "rnn_tiny"])
def test_a_model_trained_under_jax_can_be_exported(preset, tmp_path):
    run("jax", "--train", tmp_path / "model.keras", preset, 1000)
    model = keras.saving.load_model(tmp_path / "model.keras")
    search = FileEngine(ModelFile(float32_file(model, tmp_path))).greedy
    source = random_ids(np.random.default_rng(1), [7, 4, 1], vocabulary_size=1000)
    for found, expected in zip(
        search(source, 12), zoo.greedy_search(model, source, 12), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
