"""The parity check accepts a correct file and detects any wrong weight."""

import dataclasses
import json

import numpy as np
import pytest

from seq2lite import export
from seq2lite.export import stages
from seq2lite.export.quantization.modes import MODES
from seq2lite.export.runtime.tokenizer import Tokenizers
from seq2lite.export.tflite_file import flatbuffer
from seq2lite.export.verification.parity import check_parity, require_within
from seq2lite.export.verification.probe import probe
from seq2lite.export.verification.reference import KerasReference

LIMITS = {"max_source_length": 40, "max_target_length": 12}


@pytest.fixture(scope="module")
def reference(tiny_model, tokenizer, pairs):
    return KerasReference(tiny_model, Tokenizers.of(tokenizer), pairs[:12], LIMITS)


@pytest.fixture(scope="module")
def content(bundle):
    return (bundle / "model.tflite").read_bytes()


def float_buffers(content):
    """Return for each float32 buffer its weights and the name of a tensor."""
    model, found = flatbuffer.read(content), {}
    graphs = [
        model.subgraphs[flatbuffer.graph_of(model, name)] for name in ("encode", "decode_step")
    ]
    for tensor in (tensor for graph in graphs for tensor in graph.tensors):
        data = model.buffers[tensor.buffer].data
        if tensor.type == flatbuffer.schema.TensorType.FLOAT32 and data is not None:
            found[tensor.buffer] = data.view(np.float32), tensor.name.decode()
    return found


def with_one_weight_changed(content, weights):
    """Change the last weight of a buffer by 1, in place."""
    changed = weights.copy()
    changed[-1] += 1
    assert content.count(weights.tobytes()) == 1
    return content.replace(weights.tobytes(), changed.tobytes())


def test_a_correct_file_passes(content, reference, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    parity, outputs = check_parity(path, reference, MODES["float32"].tolerance)
    assert parity.token_agreement == parity.same_outputs == 1.0
    assert parity.keras_chrf == parity.file_chrf
    assert parity.num_sentences == 12
    assert len(outputs["tokens"]) == 12


def test_one_changed_weight_in_any_tensor_is_refused(tiny_model, content, reference, tmp_path):
    """The last weight of each large array in turn, changed by 1.

    Small arrays are omitted: a bias of attention keys, for example, changes no output.
    """
    found = float_buffers(content)
    changed = [buffer for buffer, (weights, _) in found.items() if weights.size >= 32]
    sizes = [found[buffer][0].size for buffer in changed]
    assert sum(sizes) > 0.95 * tiny_model.count_params()
    for buffer in changed:
        path = tmp_path / "model.tflite"
        path.write_bytes(with_one_weight_changed(content, found[buffer][0]))
        outputs = probe(path, **reference.inputs)
        with pytest.raises(export.ParityError):
            require_within(reference.compare(outputs), MODES["float32"].tolerance)
            pytest.fail(f"{found[buffer][1]} was changed, but the parity check passed")


def test_a_refused_export_names_the_difference_and_writes_nothing(
    tiny_model, tokenizer, pairs, content, tmp_path, monkeypatch
):
    largest = max((weights for weights, _ in float_buffers(content).values()), key=np.size)
    monkeypatch.setattr(
        stages, "convert_saved", lambda *_: with_one_weight_changed(content, largest)
    )
    with pytest.raises(export.ParityError) as error:
        export.to_bundle(
            tiny_model,
            tmp_path / "my-model",
            tokenizer,
            pairs[:12],
            quantization="float32",
            num_beams=None,
            text=False,
            measure=False,
            **LIMITS,
        )
    message = str(error.value)
    assert "The exported file must agree with Keras. Received: logits differ by up to" in message
    assert any(repr(source)[:80] in message for source, _ in pairs[:12])
    assert not list(tmp_path.iterdir())


def test_nan_logits_are_refused(reference, content, tmp_path):
    (tmp_path / "model.tflite").write_bytes(content)
    outputs = probe(tmp_path / "model.tflite", **reference.inputs)
    outputs["logits"][0, 0, 0] = np.nan
    with pytest.raises(export.ParityError, match="inf"):
        require_within(reference.compare(outputs), MODES["int8"].tolerance)


@pytest.mark.parametrize("quantization", MODES)
def test_generate_that_differs_from_its_own_steps_is_refused(
    quantization, reference, content, tmp_path
):
    """Correct logits with wrong tokens are refused, whatever their chrF."""
    (tmp_path / "model.tflite").write_bytes(content)
    outputs = probe(tmp_path / "model.tflite", **reference.inputs)
    outputs["tokens"][::2, 0] += 1
    with pytest.raises(
        export.ParityError, match=r"`generate` equals Keras for .*Keras generates .*, the file "
    ):
        require_within(reference.compare(outputs), MODES[quantization].tolerance)


def test_each_measure_is_compared_with_its_tolerance(reference, content, tmp_path):
    (tmp_path / "model.tflite").write_bytes(content)
    parity, _ = check_parity(tmp_path / "model.tflite", reference, MODES["float32"].tolerance)
    tolerance = MODES["int8"].tolerance
    require_within(parity, tolerance)
    for wrong in (
        {"relative_logit_error": tolerance.logit_error * 1.01},
        {"token_agreement": tolerance.token_agreement - 0.001},
        {"generate_agreement": tolerance.generate_agreement - 0.001},
        {"file_chrf": parity.keras_chrf - tolerance.chrf_difference - 0.01},
        {"file_chrf": parity.keras_chrf + tolerance.chrf_difference + 0.01},
    ):
        with pytest.raises(export.ParityError):
            require_within(dataclasses.replace(parity, **wrong), tolerance)


def test_the_report_contains_the_measurements(bundle):
    text = (bundle / "report.md").read_text("utf-8")
    measured = json.loads(text.split("```json\n")[1].split("```")[0])
    assert measured["token_agreement"] == 1.0
    assert f"{(bundle / 'model.tflite').stat().st_size:,} bytes" in text
