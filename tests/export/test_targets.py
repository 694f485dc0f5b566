"""A device target is one entry of the table: a file with anything that it lacks is refused."""

from dataclasses import replace

import numpy as np
import pytest

from random_models import small_model
from seq2lite import export
from seq2lite.export import bundle, stages, static, tflite
from seq2lite.export.conversion import converter
from seq2lite.export.system.isolation import ConversionError
from seq2lite.export.tflite_file import flatbuffer, rewrites
from seq2lite.export.tflite_file.flatbuffer import schema
from seq2lite.export.tflite_file.targets import TARGETS, Target, check_target, prepare

OP = schema.BuiltinOperator


@pytest.fixture(scope="module")
def content():
    """A static float32 file."""
    return static.convert(small_model("lstm-luong"), "float32_static", max_source_length=6)


def changed(content, change):
    model = flatbuffer.read(content)
    change(model)
    return flatbuffer.write(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: setattr(m.operatorCodes[0], "builtinCode", OP.GELU), r"GELU.* \(\d+ in total\)"),
        (lambda m: setattr(m.subgraphs[0].tensors[0], "type", 4), "type INT64 of"),
        (lambda m: setattr(m.subgraphs[0].tensors[0], "shape", np.ones(5, np.int32)), "rank 5 of"),
        (
            lambda m: setattr(m.subgraphs[0].tensors[0], "shapeSignature", np.array([-1])),
            "a dynamic size of",
        ),
    ],
)
def test_an_op_type_or_shape_that_a_device_lacks_is_named(content, change, message):
    check_target(content, "portable")
    file = changed(content, change)
    check_target(file, "cpu")
    with pytest.raises(ConversionError, match=f"target='portable' must have .*{message}"):
        check_target(file, "portable")


def test_a_new_entry_refuses_and_accepts_files(content, monkeypatch):
    counts = check_target(content, "cpu")
    monkeypatch.setitem(TARGETS, "new", Target("new", excluded_ops=("CUSTOM", "SOFTMAX")))
    with pytest.raises(
        ConversionError,
        match=rf"target='new' must have no ops of CUSTOM, SOFTMAX\. Received: SOFTMAX, which "
        rf"computes .* \({counts['SOFTMAX']} in total\)",
    ):
        check_target(content, "new")
    monkeypatch.setitem(TARGETS, "new", Target("new", max_rank=4, static_shapes=True))
    assert check_target(content, "new") == counts


def without_softmax(content):
    def change(model):
        for code in model.operatorCodes:
            if code.builtinCode == OP.SOFTMAX:
                code.builtinCode = code.deprecatedBuiltinCode = OP.LOG_SOFTMAX

    return changed(content, change)


def test_the_rewrites_of_a_target_are_applied_before_it_is_checked(content, monkeypatch):
    target = replace(TARGETS["portable"], name="new", rewrites=(without_softmax,))
    target = replace(target, excluded_ops=(*target.excluded_ops, "SOFTMAX"))
    monkeypatch.setitem(TARGETS, "new", target)
    assert prepare(content, "new") == without_softmax(content)


@pytest.fixture
def new_target(content, monkeypatch):
    """A function that adds a target "new"; the converter returns `content`, and nothing is traced."""
    monkeypatch.setattr(tflite, "Signatures", lambda *_, **__: None)
    monkeypatch.setattr(static, "StaticSignatures", lambda *_, **__: None)
    monkeypatch.setattr(converter, "save", lambda *_: None)
    monkeypatch.setattr(converter, "run_isolated", lambda *_, **__: content)

    def add(**limits):
        monkeypatch.setitem(TARGETS, "new", Target("new", **limits))

    return add


def test_a_new_entry_acts_in_the_exports_of_a_file(new_target, tmp_path):
    model, path = small_model("lstm-luong"), tmp_path / "model.tflite"

    def exports(target):
        yield static.convert(model, "float32_static", max_source_length=6, target=target)
        export.to_tflite(model, path, "float32", target=target)
        yield path.read_bytes()

    new_target(excluded_ops=("SOFTMAX",))
    with pytest.raises(ConversionError, match=r"target='new' must have .*SOFTMAX"):
        static.convert(model, "float32_static", max_source_length=6, target="new")
    with pytest.raises(ConversionError, match=r"target='new' must have .*SOFTMAX"):
        export.to_tflite(model, path, "float32", target="new")
    new_target(excluded_ops=("SOFTMAX",), rewrites=(without_softmax,))
    assert [check_target(each, "new")["LOG_SOFTMAX"] > 0 for each in exports("new")] == [True, True]
    assert [check_target(each, "cpu")["LOG_SOFTMAX"] for each in exports(None)] == [0, 0]
    new_target(excluded_ops=("DEQUANTIZE",))  # only the quantized file has it
    with pytest.raises(ConversionError, match=r"target='new' must have .*DEQUANTIZE"):
        export.to_tflite(model, path, "float16", target="new")


def test_a_new_entry_acts_in_the_export_of_a_bundle(
    new_target, tiny_model, tokenizer, pairs, tmp_path, monkeypatch
):
    def prepare_nothing(reference, options, folder):
        return stages.Prepared(options, folder, reference, {}, {False: None, True: None})

    monkeypatch.setattr(bundle, "KerasReference", lambda *_: None)
    monkeypatch.setattr(stages, "save_signatures", lambda *_: None)
    monkeypatch.setattr(stages, "prepare", prepare_nothing)
    for quantization in ("float32", "float32_static", "float16"):
        op = "DEQUANTIZE" if quantization == "float16" else "SOFTMAX"
        new_target(excluded_ops=(op,))
        with pytest.raises(ConversionError, match=rf"target='new' must have .*{op}"):
            export.to_bundle(
                tiny_model, tmp_path / "new", tokenizer, pairs[:2], quantization=quantization,
                target="new",
            )  # fmt: skip


def test_a_target_that_cannot_be_is_refused_before_work(tiny_model, tokenizer, pairs, tmp_path):
    with pytest.raises(ValueError, match=r"`target` must be one of cpu, portable .*'npu'"):
        static.convert(tiny_model, "float32_static", max_source_length=6, target="npu")
    # A target with static shapes needs a static mode.
    message = r"`target` must be one of cpu with quantization='int8'\. Received: target='portable'"
    with pytest.raises(ValueError, match=message):
        export.to_tflite(tiny_model, tmp_path / "model.tflite", "int8", target="portable")
    with pytest.raises(ValueError, match=message):
        export.to_bundle(tiny_model, tmp_path / "a", tokenizer, pairs[:2], target="portable")


def test_select_becomes_select_v2_for_portable_files(content):
    def change(model):
        for code in model.operatorCodes:
            if code.builtinCode == OP.SELECT_V2:
                code.builtinCode = code.deprecatedBuiltinCode = OP.SELECT

    counts = check_target(content, "portable")
    assert counts["SELECT_V2"] and not counts["SELECT"]
    assert check_target(rewrites.as_select_v2(changed(content, change)), "portable") == counts


def test_the_converted_file_is_checked_for_cpu_ops(tmp_path, content, monkeypatch):
    def change(model):
        code = model.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = OP.CUSTOM

    def with_custom_op(function, saved_model, timeout):
        return changed(content, change)

    monkeypatch.setattr(converter, "run_isolated", with_custom_op)
    with pytest.raises(ConversionError, match="target='cpu' must have no ops of CUSTOM"):
        converter.convert_saved(tmp_path / "saved")
