"""Attention weights in exported files: those of Keras, in every kind of file."""

import numpy as np
import pytest

from random_models import random_ids, small_model
from seq2lite import export
from seq2lite.export import static
from seq2lite.export.quantization.calibration import StaticCalibration
from seq2lite.export.quantization.modes import quantize
from seq2lite.export.runtime.engine import FileEngine
from seq2lite.export.runtime.interpreter import ModelFile
from structures import QUANTIZABLE, SEARCHED

LENGTHS = {"max_source_length": 9, "max_target_length": 8}


def scores(model, content, source, target):
    """The results of `HostSearch.score` over a file."""
    ids = {name: getattr(model, name) for name in ("start_id", "end_id", "pad_id")}
    return FileEngine(ModelFile(content), ids).host_search().score(source, target)


def weights_of_keras(model, source, target):
    start = np.full((len(target), 1), model.start_id)
    inputs = {"source": source, "target": np.concatenate([start, target[:, :-1]], axis=1)}
    return model(inputs, return_attention=True)[1]


@pytest.mark.parametrize("name", QUANTIZABLE)
def test_a_file_returns_the_attention_of_keras(name, exported):
    model, content = exported(name).model, exported(name).content
    rng = np.random.default_rng(0)
    source, target = random_ids(rng, [7, 4, 1]), random_ids(rng, [6, 2, 5])
    total, each, attention = scores(model, content, source, target)
    np.testing.assert_allclose(attention, weights_of_keras(model, source, target), atol=1e-5)
    assert total.shape == (3,) and each.shape == (3, 6)


@pytest.mark.parametrize("case", ["transformer", "lstm-luong"])
@pytest.mark.parametrize(("mode", "error"), [("float32_static", 1e-5), ("int8_static", 0.1)])
def test_a_static_file_returns_the_attention_of_keras(case, mode, error):
    model, rng = small_model(case), np.random.default_rng(0)
    content = static.convert(model, "float32_static", **LENGTHS, attention=True)
    if mode == "int8_static":
        ids = {name: getattr(model, name) for name in ("start_id", "end_id", "pad_id")}
        calibration = StaticCalibration(random_ids(rng, rng.integers(1, 10, 32)), 8, ids)
        content = quantize(content, mode, calibration)[0]
    source, target = random_ids(rng, [7, 4]), random_ids(rng, [6, 6])
    attention = scores(model, content, source, target)[2]
    np.testing.assert_allclose(attention, weights_of_keras(model, source, target), atol=error)


def test_a_file_without_the_option_returns_none(exported):
    made = exported(SEARCHED[0])
    ids = np.array([[5, 3]], np.int32)
    _, each, attention = scores(made.model, made.content, ids, ids)
    assert each.shape == (1, 2) and attention is None


def test_a_model_without_attention_has_none_to_export(tmp_path):
    model = small_model("gru-None-bi")
    message = "`attention` must be False for .*, a model without attention"
    for call in (
        lambda: export.to_tflite(model, tmp_path / "model.tflite", attention=True),
        lambda: static.convert(model, "float32_static", **LENGTHS, attention=True),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match="`attention` must be True or False"):
        export.to_tflite(model, tmp_path / "model.tflite", attention=1)
