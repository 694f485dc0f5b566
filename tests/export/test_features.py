"""Export of a family whose sources are float features, and which `export` does not know."""

import numpy as np
import pytest
from keras import ops

from random_models import randomize
from seq2lite import export, zoo
from seq2lite.export import static
from seq2lite.export.runtime.engine import FileEngine
from seq2lite.export.runtime.interpreter import ModelFile, open_interpreter
from toy_family import ToyFamily

FEATURES, LENGTH = 5, 7
IDS = {"start_id": 2, "end_id": 3, "pad_id": 0}


class SummingFamily(ToyFamily):
    """The first state is a sum: a mean needs DIV, which has no integer kernel."""

    def encode(self, source):
        state = super().encode(source)
        is_token = ops.expand_dims(ops.cast(self.source_mask(source), "float32"), 2)
        return {**state, "hidden": ops.tanh(ops.sum(state["memory"] * is_token, axis=1))}


@pytest.fixture(scope="module")
def model():
    return randomize(SummingFamily(vocabulary_size=90, features=FEATURES, dim=32, **IDS), scale=2.0)


@pytest.fixture(scope="module")
def source():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(12, LENGTH, FEATURES)).astype(np.float32)
    for row, length in zip(source, rng.integers(1, LENGTH + 1, len(source)), strict=True):
        row[length:] = 0  # padding
    return source


@pytest.mark.filterwarnings("ignore:Only weights")
@pytest.mark.parametrize(
    ("quantization", "equal"),
    [("float32", 1.0), pytest.param("int8", 0.5, marks=pytest.mark.long), ("int4", 0.1)],
)
def test_a_file_with_dynamic_shapes_generates_the_tokens_of_keras(
    model, source, quantization, equal, tmp_path
):
    path = tmp_path / "model.tflite"
    export.to_tflite(model, path, quantization, calibration=source)
    tokens, lengths = FileEngine(ModelFile(path.read_bytes())).greedy(source, 9)
    expected, expected_lengths = zoo.greedy_search(model, source, 9)
    width = min(tokens.shape[1], expected.shape[1])
    assert np.mean(tokens[:, :width] == expected[:, :width]) >= equal
    if quantization == "float32":
        np.testing.assert_array_equal(lengths, expected_lengths)
    assert len({tuple(row) for row in tokens.tolist()}) > 2


@pytest.mark.parametrize(
    ("quantization", "equal"),
    [pytest.param("float32_static", 1.0, marks=pytest.mark.long), ("int8_static", 0.3)],
)
def test_a_static_file_generates_the_tokens_of_keras(model, source, quantization, equal):
    limits = {"max_source_length": LENGTH, "max_target_length": 9}
    content = static.convert(model, quantization, **limits, calibration=source)
    description = {**IDS, "padding": 0.0}
    tokens, _ = FileEngine(ModelFile(content), description).greedy(source, 9)
    expected, _ = zoo.greedy_search(model, source, 9)
    width = min(tokens.shape[1], expected.shape[1])
    assert np.mean(tokens[:, :width] == expected[:, :width]) >= equal
    interpreter = open_interpreter(content, 1, "model.tflite")
    details = interpreter.get_signature_runner("encode").get_input_details()["source"]
    assert details["shape"].tolist() == [1, LENGTH, FEATURES]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((2, 3)), r".n, source_length, 5. of real numbers .* float64 and shape \(2, 3\)"),
        (np.zeros((0, 3, 5)), r"not empty. Received: .* shape \(0, 3, 5\)$"),
        (np.full((2, 3, 5), np.nan), "that float32 can store. Received: .* from nan to nan"),
        (np.full((2, 3, 5), 1e39), r"that float32 can store. Received: .*, from 1e\+39 to 1e\+39"),
        (
            np.full((2, 3, 5), 1j),
            r"of real numbers .* Received: .*complex128 and shape \(2, 3, 5\)",
        ),
        (np.zeros((2, 3, 5)), "without an empty source. Received: .* from 0.0 to 0.0"),
        ([[[1.0]], [[1.0], [2.0]]], "of real numbers .* Received: calibration="),
        (None, "of real numbers .* Received: calibration=None"),
    ],
)
def test_wrong_calibration_is_named(model, wrong, message, tmp_path):
    with pytest.raises(ValueError, match=f"`calibration` must be .*{message}"):
        export.to_tflite(model, tmp_path / "model.tflite", "int4", calibration=wrong)


def test_a_bundle_of_text_is_refused(model, tokenizer, pairs, tmp_path):
    with pytest.raises(ValueError, match=r"`model` must read token ids, .*to_tflite"):
        export.to_bundle(model, tmp_path / "my-model", tokenizer, pairs[:2])
