"""The minimum runtime of a file equals that of the converter, and is right for quantized files."""

import pytest

from seq2lite import export
from seq2lite.export.quantization.weights import store_weights, weights_of
from seq2lite.export.tflite_file import flatbuffer, versions
from structures import QUANTIZABLE


@pytest.fixture(scope="module", params=QUANTIZABLE)
def converted(request, exported):
    """A float32 file as the converter gives it."""
    return exported(request.param).content


def stored(content, kind):
    return store_weights(content, {w.buffer: kind for w in weights_of(flatbuffer.read(content))})


def test_it_equals_that_of_the_converter(converted):
    assert versions.required_runtime(converted) == versions.stated_runtime(converted) == "2.9.0"


@pytest.mark.parametrize(
    ("kind", "runtime"),
    [("float32", "2.9.0"), ("float16", "2.9.0"), ("int8_tensor", "2.9.0"), ("int8", "2.18.0")],
)
def test_a_rewritten_file_states_its_own(converted, kind, runtime):
    content = stored(converted, kind)
    assert versions.required_runtime(content) == versions.stated_runtime(content) == runtime


def test_ops_that_an_older_runtime_lacks_are_named(converted):
    content = stored(converted, "int8")
    assert versions.ops_beyond(content, "2.9") and not versions.ops_beyond(content, "2.18")
    assert versions.ops_beyond(content, "2.9") == {
        "EMBEDDING_LOOKUP v4": "2.18.0",
        "FULLY_CONNECTED v12": "2.17.0",
    }
    assert versions.ops_beyond(content, "2.18.0") == {}


def test_blocks_of_four_bits_need_the_runtime_that_reads_them(exported):
    """Their op's version is the same as without blocks."""
    content = exported("transformer").content
    assert versions.required_runtime(stored(content, "int4")) == "2.20.0"


def test_an_unknown_version_is_named(converted):
    model = flatbuffer.read(converted)
    model.operatorCodes[0].version = 99
    with pytest.raises(export.ConversionError, match=r"Received: [A-Z_]+ version 99"):
        versions.required_runtime(flatbuffer.write(model))


def test_a_file_that_stated_nothing_states_it_then(converted):
    model = flatbuffer.read(converted)
    model.metadata = None
    content = flatbuffer.write(model)
    assert versions.stated_runtime(content) is None
    versions.set_min_runtime(model)
    content = flatbuffer.write(model)
    assert versions.stated_runtime(content) == "2.9.0"


def test_versions_are_compared_by_number(converted):
    assert versions.ops_beyond(converted, "2.8.9") and not versions.ops_beyond(converted, "2.10")
