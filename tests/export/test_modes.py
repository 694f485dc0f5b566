"""A quantization mode is one entry of the table, and a new entry works in every export."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from seq2lite import export
from seq2lite.export import static, tflite
from seq2lite.export.checks import check_quantization
from seq2lite.export.quantization import modes
from seq2lite.export.quantization.apply import quantize_activations, quantize_weights
from seq2lite.export.quantization.modes import MODES, Options, quantize
from seq2lite.export.runtime.engine import FileEngine
from seq2lite.export.runtime.interpreter import ModelFile
from seq2lite.export.tflite_file import flatbuffer
from seq2lite.export.tflite_file.flatbuffer import schema


def test_a_new_entry_is_a_mode_of_to_tflite(tiny_model, bundle, tmp_path, monkeypatch):
    """Tables of embeddings in 8 bits, all other weights in float16."""
    mode = replace(
        MODES["float16"],
        name="int8_tables",
        weights="int8 tables, float16 products",
        quantize=partial(
            quantize_weights,
            choose=lambda weights, inputs: {
                w.buffer: "int8" if w.is_looked_up else "float16" for w in weights
            },
        ),
    )
    monkeypatch.setitem(MODES, mode.name, mode)
    converted = (bundle / "model.tflite").read_bytes()
    monkeypatch.setattr(tflite, "convert_signatures", lambda *_: converted)
    export.to_tflite(tiny_model, tmp_path / "new", mode.name)
    content = (tmp_path / "new").read_bytes()
    model = flatbuffer.read(content)
    types = {tensor.type for graph in model.subgraphs for tensor in graph.tensors}
    assert {schema.TensorType.INT8, schema.TensorType.FLOAT16} <= types
    tokens, lengths = FileEngine(ModelFile(content)).greedy(np.array([[5, 6, 3]], np.int32), 6)
    assert tokens.shape == (1, max(1, *lengths))
    with pytest.raises(ValueError, match=r"must be one of .*int8_tables. Received: .*'int2'"):
        export.to_tflite(tiny_model, tmp_path / "new", "int2")


def test_a_new_entry_is_a_mode_of_static_files(tiny_model, tokenizer, pairs, monkeypatch):
    """8-bit activations whose scales cover all observed values."""
    arguments = {
        "max_source_length": 9,
        "max_target_length": 8,
        "tokenizer": tokenizer,
        "calibration": [source for source, _ in pairs[:4]],
    }
    mode = replace(MODES["int8_static"], name="unclipped", min_runtime=(2, 19))
    mode = replace(mode, quantize=partial(quantize_activations, bits=8, clip=False))
    monkeypatch.setitem(MODES, mode.name, mode)
    files = [static.convert(tiny_model, name, **arguments) for name in ("int8_static", "unclipped")]
    assert len(files[0]) == len(files[1]) and files[0] != files[1]
    with pytest.raises(
        ValueError, match=r"`min_runtime` must be 2\.19 or later with .*'unclipped'"
    ):
        static.convert(tiny_model, "unclipped", **arguments, min_runtime="2.18")


def test_a_mode_gets_its_options_and_its_calibration_if_it_needs_one(monkeypatch):
    received = []

    def record(content, calibration, options):
        received.append((content, calibration, options))
        return content, {}

    monkeypatch.setattr(modes, "open_interpreter", lambda *_: None)
    mode = replace(MODES["int8"], name="new", quantize=record)
    monkeypatch.setitem(MODES, "new", mode)
    quantize(b"a", "new", "a calibration", max_divergence=2.0)
    monkeypatch.setitem(MODES, "new", replace(mode, needs_calibration=True))
    quantize(b"b", "new", "a calibration", integer_io=True)
    assert received == [
        (b"a", None, Options(max_divergence=2.0)),
        (b"b", "a calibration", Options(integer_io=True)),
    ]


def test_names_of_the_table_are_those_of_its_modes():
    assert all(mode.name == name for name, mode in MODES.items())
    assert tuple(MODES) == export.QUANTIZATIONS


def test_modes_in_float32_are_exact():
    exact = [name for name, mode in MODES.items() if mode.is_exact]
    assert exact == [name for name, mode in MODES.items() if mode.weights == mode.activations]
    assert exact == ["float32", "float32_static"]


def test_the_documentation_has_the_table_of_modes():
    page = Path(__file__).parents[2] / "docs" / "reference" / "quantization.md"
    rows = [line.split(" | ") for line in page.read_text("utf-8").splitlines() if "|" in line]
    for mode in MODES.values():
        row = next(row for row in rows if len(row) == 6 and row[0].startswith(f'| `"{mode.name}"`'))
        assert row[1:3] == [mode.weights, mode.activations]
        assert row[5] == f"{'yes' if mode.needs_calibration else 'no'} |"


@pytest.mark.parametrize("name", MODES)
def test_a_mode_refuses_options_that_it_lacks(name):
    mode = MODES[name]
    check_quantization(name, is_static=mode.is_static, integer_io=mode.has_integer_io)
    major, minor = mode.min_runtime
    check_quantization(name, min_runtime=f"{major}.{minor}")
    with pytest.raises(ValueError, match="`min_runtime` must be"):
        check_quantization(name, min_runtime=f"{major - 1}.99")
    with pytest.raises(ValueError, match="`quantization` must be one of"):
        check_quantization(name, is_static=not mode.is_static)
    if not mode.has_integer_io:
        with pytest.raises(ValueError, match="`integer_io` must be False"):
            check_quantization(name, integer_io=True)
