"""Metadata of a file: readable by zipfile and by field number, ignored by interpreters."""

import io
import json
import zipfile

import numpy as np
import pytest

from seq2lite.export.runtime.interpreter import open_interpreter
from seq2lite.export.tflite_file import flatbuffer
from seq2lite.export.tflite_file.metadata import read_metadata, with_metadata
from seq2lite.export.tflite_file.versions import required_runtime, stated_runtime


@pytest.fixture(scope="module")
def content(bundle):
    return (bundle / "model.tflite").read_bytes()


def test_a_bundles_file_holds_the_tokenizer_and_the_special_ids(content, bundle, tokenizer):
    with zipfile.ZipFile(bundle / "model.tflite") as archive:
        assert archive.testzip() is None
        assert archive.read("tokenizer.model") == tokenizer.model_bytes
        stated = json.loads(archive.read("description.json"))
    bundled = json.loads((bundle / "bundle.json").read_text("utf-8"))
    assert stated.items() <= bundled.items()
    assert stated["end_id"] == tokenizer.end_id and stated["max_source_length"] == 40


def test_each_tensor_of_each_signature_is_described(content, bundle):
    signatures = json.loads((bundle / "bundle.json").read_text("utf-8"))["signatures"]
    found = read_metadata(content)
    assert found["signatures"].keys() == signatures.keys()
    for name, signature in signatures.items():
        for side in ("inputs", "outputs"):
            stated = found["signatures"][name][side]
            assert stated.keys() == signature[side].keys()
            for tensor, text in stated.items():
                assert signature[side][tensor]["dtype"] in text and "unit: " in text
    assert (
        "int32 (any, any: batch, source_length); unit: token ids"
        in (found["signatures"]["generate"]["inputs"]["source"])
    )


def test_the_special_ids_are_told(content, tokenizer):
    description = read_metadata(content)["description"]
    for name, number in tokenizer.vocabulary.items():
        assert f"{name} {number}" in description


def test_names_stand_in_the_order_of_the_graphs_tensors(content):
    """Readers match a graph's n-th tensor with the n-th entry."""
    model = flatbuffer.read(content)
    found = read_metadata(content)["signatures"]
    for signature in model.signatureDefs:
        graph = model.subgraphs[signature.subgraphIndex]
        stated = found[signature.signatureKey.decode()]
        for indices, entries, side in (
            (graph.inputs, signature.inputs, "inputs"),
            (graph.outputs, signature.outputs, "outputs"),
        ):
            # One tensor can be an output by several names.
            places = {entry.name.decode(): entry.tensorIndex for entry in entries}
            assert [places[name] for name in stated[side]] == list(indices)


def test_the_buffer_is_a_flatbuffer_of_the_metadata_schema(content):
    model = flatbuffer.read(content)
    (entry,) = (entry for entry in model.metadata if entry.name == b"TFLITE_METADATA")
    assert bytes(model.buffers[entry.buffer].data)[4:8] == b"M001"


def test_interpreters_answer_as_before_and_the_minimum_runtime_stays(content, tokenizer):
    plain = flatbuffer.write(flatbuffer.read(content))  # drops the zip
    assert not zipfile.is_zipfile(io.BytesIO(plain))
    source = np.array([[5, 6, 7, 3]], np.int32)
    states = [
        open_interpreter(file, 1, "").get_signature_runner("encode")(source=source)
        for file in (plain, content)
    ]
    for name in states[0]:
        np.testing.assert_array_equal(states[0][name], states[1][name])
    assert stated_runtime(content) == required_runtime(content) == required_runtime(plain)


def test_metadata_are_replaced_and_the_same_whenever_they_are_written(content, tokenizer):
    again = with_metadata(content, {"name": "other"}, tokenizer)
    assert again == with_metadata(again, {"name": "other"}, tokenizer)
    assert read_metadata(again)["name"] == "other"
    assert sorted(read_metadata(again)["files"]) == ["description.json", "tokenizer.model"]


def test_a_file_without_metadata_has_none(content):
    model = flatbuffer.read(content)
    model.metadata = None
    assert read_metadata(flatbuffer.write(model)) is None
