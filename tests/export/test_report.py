"""Reports contain the measurements, and the measurements are correct."""

import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from random_models import random_ids
from seq2lite import export
from seq2lite.export import page
from seq2lite.export.measurement import speed
from seq2lite.export.measurement.memory import measure_memory
from seq2lite.export.measurement.profile import profile
from seq2lite.export.measurement.size import size_by_part
from seq2lite.export.measurement.speed import GRID, endless, measure_grid
from seq2lite.export.quantization.weights import store_weights, weights_of
from seq2lite.export.runtime.engine import FileEngine
from seq2lite.export.runtime.interpreter import ModelFile
from seq2lite.export.tflite_file import flatbuffer


@pytest.fixture(scope="module")
def content(bundle):
    return (bundle / "model.tflite").read_bytes()


@pytest.fixture(scope="module")
def source(tokenizer):
    return random_ids(np.random.default_rng(0), [9], tokenizer.vocabulary_size)


def ids_of(holder):
    """The special ids of a tokenizer or a model, as `profile` takes them."""
    return {name: getattr(holder, name) for name in ("pad_id", "start_id", "end_id")}


def test_the_parts_sum_to_the_file_and_are_the_models_weights(content, tiny_model):
    parts = size_by_part(content)
    assert sum(parts.values()) == len(content)
    # One table, looked up on both sides and tied to the output.
    assert parts["embedding"] == 4 * 1000 * 32 and parts["output projection"] == 0
    # `encode` makes the keys and values of cross-attention.
    encoder = [v for v in tiny_model.variables if re.search("encoder_0|cross.*key_value", v.path)]
    assert parts["encoder"] == 4 * sum(v.shape[0] * v.shape[1] for v in encoder if v.ndim == 2)
    decoder = [
        v
        for v in tiny_model.variables
        if "decoder_0" in v.path and "key_value" not in v.path.replace("query_key_value", "")
    ]
    matrices = sum(v.shape[0] * v.shape[1] for v in decoder if v.ndim == 2)
    assert parts["decoder"] == 4 * (matrices + 1000)  # and the output's bias


def test_the_scales_of_a_weight_are_a_part_of_it(content):
    kinds = {weight.buffer: "int8" for weight in weights_of(flatbuffer.read(content))}
    eight = store_weights(content, kinds)
    parts = size_by_part(eight)
    assert parts["embedding"] == 1000 * 32 + 1000 * (4 + 8)  # and zero points
    assert sum(parts.values()) == len(eight)


def test_a_profile_sums_to_the_whole(content, source, tokenizer):
    found = profile(content, source, ids_of(tokenizer), steps=3, runs=20)
    model = flatbuffer.read(content)
    for name in ("encode", "decode_step"):
        operators = model.subgraphs[flatbuffer.graph_of(model, name)].operators
        ops = found[name]["ops"]
        assert len(ops) == len(operators)
        total = sum(seconds for _, seconds in ops)
        # Times of a shared machine: what matters is that nothing large is missing or counted twice.
        assert 0.3 * found[name]["whole"] < total < 3 * found[name]["whole"]


def test_a_profile_times_loops(exported):
    """An RNN's encoder calls other graphs, once for each of its loops."""
    structure = exported("rnn-0-dot-gru")
    source = random_ids(np.random.default_rng(0), [9])
    model = structure.model
    found = profile(structure.content, source, ids_of(model), steps=1, runs=2)
    assert dict(found["encode"]["ops"])["WHILE"] > 0


@pytest.mark.parametrize("kind", ["float16", "int4"])
def test_a_profile_knows_every_format_of_weights(content, source, tokenizer, kind):
    kinds = {weight.buffer: kind for weight in weights_of(flatbuffer.read(content))}
    found = profile(store_weights(content, kinds), source, ids_of(tokenizer), steps=1, runs=2)
    ops = dict(found["decode_step"]["ops"])
    assert ops["FULLY_CONNECTED"] > 0 and ops.get("DEQUANTIZE", 0) == 0


def test_a_file_without_an_end_generates_the_same_tokens_and_more(content, source, tokenizer):
    search = FileEngine(ModelFile(content)).greedy
    on = FileEngine(ModelFile(endless(content, tokenizer.end_id))).greedy
    tokens, lengths = search(source, 12)
    further, further_lengths = on(source, 12)
    assert further_lengths == [12]
    np.testing.assert_array_equal(further[0, : lengths[0]], tokens[0, : lengths[0]])
    (cell,) = measure_grid(on, source, grid=[(2, 5)])
    assert cell["tokens_per_second"] == pytest.approx(10 / cell["seconds"])


def test_a_file_that_does_end_is_not_timed(content, source):
    with pytest.raises(export.ConversionError, match="must compare its tokens with end_id=999"):
        endless(content, 999)

    def ends(rows, length):
        return np.zeros((len(rows), 1)), np.array([1])

    with pytest.raises(export.ConversionError, match="must generate 7 tokens"):
        measure_grid(ends, source, grid=[(1, 7)])


@pytest.mark.parametrize("how", ["mapped", "read"])
def test_memory_is_measured(bundle, source, how):
    found = measure_memory(bundle / "model.tflite", source, 4, how, {})
    assert 0 < found["load_seconds"] < 5 and 0 < found["first_run_seconds"] < 5
    assert found["peak"] >= found["resident"]


@pytest.fixture(scope="module")
def measured(tiny_model, tokenizer, pairs, tmp_path_factory):
    """The `Report` of an int8 bundle with measurements."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "PASSES", 1)
        return export.to_bundle(
            tiny_model,
            tmp_path_factory.mktemp("measured") / "my-int8",
            tokenizer,
            pairs[:16],
            max_source_length=40,
            max_target_length=12,
            num_beams=1,
            text=False,
        )


def test_a_report_states_the_measurements(measured):
    markdown = (measured.path / "report.md").read_text("utf-8")
    assert measured.tokens_per_second > 0 and measured.keras_tokens_per_second > 0
    for number in (measured.tokens_per_second, measured.keras_tokens_per_second):
        assert f"{number:,.0f} tokens/s" in markdown
    grid = measured.measurements.grid
    assert [(cell["batch"], cell["length"]) for cell in grid] == [*GRID]
    for cell in grid:
        assert f"| {cell['batch']} | {cell['length']} | {1e3 * cell['seconds']:.2f} |" in markdown
    for how, memory in measured.measurements.memory.items():
        assert f"| {how} | {1e3 * memory['load_seconds']:.1f} |" in markdown
    for signature, found in measured.measurements.profile.items():
        assert f"`{signature}`, {1e6 * found['whole']:.0f} µs in all" in markdown
    assert json.loads((measured.path / "bundle.json").read_text("utf-8"))["is_measured"]


def test_the_report_of_a_bundle_without_measurements_states_that(bundle):
    for name in ("report.md", "report.html"):
        assert "Not measured: the bundle was exported with" in (bundle / name).read_text("utf-8")
    assert json.loads((bundle / "bundle.json").read_text("utf-8"))["is_measured"] is False


def test_both_reports_have_the_same_content(measured):
    markdown = (measured.path / "report.md").read_text("utf-8")
    page = (measured.path / "report.html").read_text("utf-8")
    for heading in ("Size", "Parity with Keras", "Speed", "Memory", "Profile", "Ops"):
        assert f"## {heading}\n" in markdown and f"<h2>{heading}</h2>" in page
    numbers = re.findall(r"\d+\.\d+", "".join(re.findall(r"^\|.*", markdown, re.MULTILINE)))
    assert len(numbers) > 30
    assert all(number in page for number in numbers)
    assert "tok:13a" in page and "nrefs:1" in page  # SacreBLEU signatures


def test_the_page_is_well_formed_and_needs_no_other_file(measured):
    page = (measured.path / "report.html").read_text("utf-8")
    assert not re.search(r"(src|href|url)\s*[=(]", page)
    body = page.partition("<body>")[2].partition("</body>")[0]
    root = ElementTree.fromstring(f"<body>{body}</body>")
    figures = root.findall("figure")
    assert len(figures) == 3  # sizes, and the profiles of two signatures
    for figure in figures:
        widths = [float(bar.get("width")) for bar in figure.iter("rect")]
        assert max(widths) == 440 and min(widths) >= 0


def test_text_of_users_cannot_break_the_page_or_a_table():
    blocks = [("text", "<script>"), ("table", ("a|b",), [("<b>",)])]
    assert "<script>" not in page.to_html("<i>", blocks).partition("<body>")[2]
    assert "a\\|b" in page.to_markdown("x", blocks)


def test_a_report_states_the_size_of_the_model(tiny_model, bundle):
    markdown = (bundle / "report.md").read_text("utf-8")
    assert f"{tiny_model.count_params():,}" in markdown
    assert f"{(bundle / 'model.tflite').stat().st_size:,} bytes" in markdown
