"""The parity check accepts a correct file and detects any wrong weight."""

import dataclasses
import json
import re

import numpy as np
import pytest

from seq2lite import export
from seq2lite.export import stages
from seq2lite.export.quantization.modes import MODES
from seq2lite.export.runtime.engine import best_search
from seq2lite.export.runtime.tokenizer import Tokenizers
from seq2lite.export.tflite_file import flatbuffer
from seq2lite.export.verification import probe as probe_module
from seq2lite.export.verification.parity import check_parity, require_within
from seq2lite.export.verification.probe import probe
from seq2lite.export.verification.reference import GREEDY, KerasReference

BEAM = {"num_beams": 3, "length_penalty": 0.6}  # that of the fixture `bundle`
LIMITS = {"max_source_length": 40, "max_target_length": 12}


@pytest.fixture(scope="module")
def reference(tiny_model, tokenizer, pairs):
    return KerasReference(tiny_model, Tokenizers.of(tokenizer), pairs[:12], LIMITS, [GREEDY, BEAM])


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


@pytest.mark.parametrize("search", [GREEDY, BEAM])
def test_a_correct_file_passes(content, reference, tmp_path, search):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    parity, outputs = check_parity(path, reference, MODES["float32"].tolerance, search, "float32")
    assert parity.token_agreement == parity.same_outputs == parity.search_agreement == 1.0
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
        outputs = probe(path, **reference.inputs())
        with pytest.raises(export.ParityError):
            within(reference.compare(outputs), "float32")
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
            num_beams=1,
            text=False,
            measure=False,
            **LIMITS,
        )
    message = str(error.value)
    assert (
        "The exported file (float32) must agree with Keras on the 12 held-out sentences" in message
    )
    assert any(repr(source)[1:50] in message for source, _ in pairs[:12])
    assert not list(tmp_path.iterdir())


def within(parity, quantization, search=GREEDY, **tolerance):
    tolerance = dataclasses.replace(MODES[quantization].tolerance, **tolerance)
    require_within(parity, tolerance, search, quantization)


def test_nan_logits_are_refused(reference, content, tmp_path):
    (tmp_path / "model.tflite").write_bytes(content)
    outputs = probe(tmp_path / "model.tflite", **reference.inputs())
    outputs["logits"][0, 0, 0] = np.nan
    with pytest.raises(export.ParityError, match="logits differ by up to inf"):
        within(reference.compare(outputs), "int8")


@pytest.mark.parametrize("search", [GREEDY, BEAM])
def test_a_search_that_differs_from_its_own_steps_is_refused(
    reference, content, tmp_path, monkeypatch, search
):
    """Correct logits with wrong tokens are refused in every mode, whatever their chrF."""
    (tmp_path / "model.tflite").write_bytes(content)

    def wrong(engine, num_beams):
        def run(source, max_length):
            tokens, lengths = best_search(engine, num_beams)(source, max_length)
            tokens[::2, 0] += 1
            return tokens, lengths

        return run

    monkeypatch.setattr(probe_module, "best_search", wrong)
    outputs = probe(tmp_path / "model.tflite", **reference.inputs(search))
    for quantization, mode in MODES.items():
        message = (
            "over the file finds" if mode.is_static else "in the file finds the target that its"
        )
        with pytest.raises(export.ParityError, match=message):
            within(reference.compare(outputs, search), quantization, search)


def test_the_search_over_a_static_file_is_compared_with_that_of_keras(reference, content, tmp_path):
    (tmp_path / "model.tflite").write_bytes(content)
    outputs = probe(tmp_path / "model.tflite", **reference.inputs())
    outputs["agreements"] = None  # as for a static file
    assert reference.compare(outputs).search_agreement == 1.0
    # A wrong token, and a target that is too short.
    changed = outputs["tokens"].copy(), outputs["token_lengths"].copy()
    changed[0][0, 0] += 1
    changed[1][1] -= 1
    wrong = {**outputs, "tokens": changed[0], "token_lengths": changed[1]}
    assert reference.compare(wrong).search_agreement == pytest.approx(1 - 2 / 12)
    # No sentence whose steps all agree.
    unequal = reference.compare({**outputs, "logits": -outputs["logits"]})
    assert unequal.search_agreement is None
    with pytest.raises(export.ParityError, match=r"search_agreement=1\)|search_agreement=1,"):
        within(unequal, "float32_static")


@pytest.fixture(scope="module")
def parity(reference, content, tmp_path_factory):
    """The `Parity` of the correct file."""
    path = tmp_path_factory.mktemp("parity") / "model.tflite"
    path.write_bytes(content)
    return check_parity(path, reference, MODES["float32"].tolerance, BEAM, "float32")[0]


def test_each_measure_is_compared_with_its_tolerance(parity):
    tolerance = MODES["int8"].tolerance
    within(parity, "int8")
    for wrong in (
        {"relative_logit_error": tolerance.logit_error * 1.01},
        {"token_agreement": tolerance.token_agreement - 0.001},
        {"search_agreement": tolerance.search_agreement - 0.001},
        {"file_chrf": parity.keras_chrf - tolerance.chrf_difference - 0.01},
        {"file_chrf": parity.keras_chrf + tolerance.chrf_difference + 0.01},
    ):
        with pytest.raises(export.ParityError) as error:
            within(dataclasses.replace(parity, **wrong), "int8")
        # The suggested tolerance accepts the file, and another measure is still compared.
        suggested = eval(
            re.search(r"pass tolerance=(export\.Tolerance\(.*\))", str(error.value))[1]
        )
        require_within(dataclasses.replace(parity, **wrong), suggested, GREEDY, "int8")
        assert suggested != tolerance


def refusal(parity, quantization="int4", **changes):
    """The message about a file that differs."""
    changes = {"keras_chrf": 40.0, "file_chrf": 30.0, **changes}
    with pytest.raises(export.ParityError) as error:
        within(dataclasses.replace(parity, **changes), quantization)
    return str(error.value)


def test_a_refusal_shows_an_example_in_any_script(parity):
    example = ("Open the file\nagain", "파일을 다시 여세요\u3164\u200b", "अब " * 400)
    lines = refusal(
        parity, example=example, same_outputs=1 - 1 / 200, num_sentences=200
    ).splitlines()
    assert "1 of 200 outputs differ. The first one:" in lines
    assert "    source: Open the file\\nagain" in lines
    assert "    Keras:  파일을 다시 여세요\u3164\\u200b" in lines
    (last,) = (line for line in lines if line.startswith("    file:"))
    assert last.endswith("…") and len(last) < 320


@pytest.mark.parametrize(
    ("quantization", "changes", "advice"),
    [
        ("int4", {}, 'quantization="mixed"'),
        ("int4", {}, "Pass `calibration`"),
        ("int8", {}, 'quantization="float16"'),
        ("float16", {}, 'quantization="float32"'),
        ("int8_static", {}, 'quantization="int16x8"'),
        ("float32", {}, "Look for a layer of your own"),
        ("float32", {"search_agreement": 0.5}, "Please report this"),
        ("int8", {"num_sentences": 16}, "With 16, one sentence moves chrF by much"),
        ("int8", {"keras_chrf": 1.0}, "Train the model, or load its weights"),
    ],
)
def test_a_refusal_names_what_to_try(parity, quantization, changes, advice):
    assert advice in refusal(parity, quantization, **changes)


def test_a_refusal_of_an_untrained_model_shows_no_outputs(parity):
    example = ("Open", "ʬ\ufffdzzz", "\ufffd\ufffdqq")
    assert "zzz" not in refusal(parity, keras_chrf=1.0, file_chrf=9.0, example=example)


def test_the_report_contains_the_measurements(bundle):
    text = (bundle / "report.md").read_text("utf-8")
    measured = json.loads(text.split("```json\n")[1].split("```")[0])
    assert measured["token_agreement"] == 1.0
    assert "| search | beam search with 3 beams and length penalty 0.6 |" in text
    assert f"{(bundle / 'model.tflite').stat().st_size:,} bytes" in text
