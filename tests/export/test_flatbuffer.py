"""Rewriting a file's tables: equal contents stored once, the order of graphs, weights behind tables."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from random_models import randomize
from seq2lite import zoo
from seq2lite.export.conversion.saved_model import save
from seq2lite.export.quantization import modes
from seq2lite.export.quantization.modes import MODES, quantize
from seq2lite.export.runtime.interpreter import open_interpreter
from seq2lite.export.signatures.dynamic import Signatures
from seq2lite.export.system.isolation import ConversionError
from seq2lite.export.tflite_file import flatbuffer, graphs, rewrites


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small model as a SavedModel."""
    model = zoo.transformer(
        vocabulary_size=3000, num_layers=1, model_dim=32, num_heads=2, feed_forward_dim=64
    )
    folder = tmp_path_factory.mktemp("saved") / "model"
    save(Signatures(randomize(model)), folder)
    return folder


@pytest.fixture(scope="module")
def converted(saved):
    """An int8 file as the converter gives it."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


@pytest.fixture(scope="module")
def both_layouts(saved):
    """A float32 file, and the same one with weights behind its tables, as beyond 2 GB."""
    files = []
    for is_large in (False, True):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
        converter._experimental_use_buffer_offset = is_large
        files.append(converter.convert())
    return files


def generated(content, source=((5, 6, 7, 3),)):
    generate = open_interpreter(content, 1, "").get_signature_runner("generate")
    return generate(source=np.array(source, np.int32), max_length=np.array(9, np.int32))["tokens"]


def test_the_tables_stay_equal(converted):
    def plain(table):
        """A table of the object API as dicts, lists and bytes, that compare by value."""
        if isinstance(table, np.ndarray):
            return table.dtype.str, table.tobytes()
        if isinstance(table, list):
            return [plain(item) for item in table]
        return plain_fields(table) if hasattr(table, "__dict__") else table

    def plain_fields(table):
        return {name: plain(value) for name, value in vars(table).items()}

    shared = flatbuffer.write(flatbuffer.read(converted))
    assert plain(flatbuffer.read(shared)) == plain(flatbuffer.read(converted))


def test_the_scales_of_a_tied_embedding_are_stored_once(converted):
    """The converter stores 3000 scales and zero points for each graph: 12 bytes per row, each."""
    shared = rewrites.arranged(converted)
    assert len(shared) < len(converted) - 2 * 12 * 3000
    assert len(rewrites.arranged(shared)) <= len(shared)


def test_weights_stay_aligned(converted):
    shared = rewrites.arranged(converted)
    for buffer in flatbuffer.read(shared).buffers:
        if buffer.data is not None and len(buffer.data) > 64:
            assert shared.find(buffer.data.tobytes()) % flatbuffer.BUFFER_ALIGNMENT == 0


def test_the_answers_stay_equal_to_the_bit(converted):
    source = np.array([[5, 6, 7, 3]], np.int32)
    states = [
        open_interpreter(content, 1, "").get_signature_runner("encode")(source=source)
        for content in (converted, rewrites.arranged(converted))
    ]
    for name in states[0]:
        np.testing.assert_array_equal(states[0][name], states[1][name])


def test_a_graph_that_several_signatures_call_is_stored_once(converted):
    model = flatbuffer.read(rewrites.arranged(converted))
    num_graphs = len(model.subgraphs)
    assert num_graphs < len(flatbuffer.read(converted).subgraphs)
    graphs.share_equal_graphs(model)
    assert len(model.subgraphs) == num_graphs
    callers = [
        graph
        for graph in model.subgraphs
        for operator in graph.operators
        if flatbuffer.graph_of(model, "encode")
        in [getattr(options, name) for options, name in graphs.called(operator)]
    ]
    assert len(callers) == 2  # `encode` itself and `generate`


def test_graphs_that_differ_in_a_weight_stay_two(converted):
    num_graphs = len(flatbuffer.read(rewrites.arranged(converted)).subgraphs)
    model = flatbuffer.read(converted)
    encoder = model.subgraphs[flatbuffer.graph_of(model, "encode")]
    weight = next(t for t in encoder.tensors if model.buffers[t.buffer].data is not None)
    changed = model.buffers[weight.buffer].data.copy()
    changed[0] += 1
    model.buffers.append(flatbuffer.schema.BufferT(data=changed))
    weight.buffer = len(model.buffers) - 1
    graphs.share_equal_graphs(model)
    assert len(model.subgraphs) == num_graphs + 1


def test_the_first_graph_is_that_of_the_main_signature(converted):
    """Runtimes without signatures run the first graph."""
    content = rewrites.arranged(converted)
    first = flatbuffer.read(content)
    assert {s.signatureKey: s.subgraphIndex for s in first.signatureDefs}[b"generate"] == 0
    source = np.array([[5, 6, 7, 3]], np.int32)
    interpreter = open_interpreter(content, 1, "")
    values = {"source": source, "max_length": np.array(9, np.int32)}
    for detail in interpreter.get_input_details():
        (name,) = (name for name in values if name in detail["name"])
        interpreter.resize_tensor_input(detail["index"], values[name].shape)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        (name,) = (name for name in values if name in detail["name"])
        interpreter.set_tensor(detail["index"], values[name])
    interpreter.invoke()
    outputs = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
    assert any(np.array_equal(output, generated(converted)) for output in outputs)


@pytest.mark.parametrize("name", ["generate", "encode", "decode_step"])
def test_a_single_signature_keeps_the_graphs_that_it_calls(converted, name):
    content = rewrites.single_signature(rewrites.arranged(converted), name)
    interpreter = open_interpreter(content, 1, "")
    assert list(interpreter.get_signature_list()) == [name]
    interpreter.allocate_tensors()
    model = flatbuffer.read(content)
    assert graphs.reachable(model, 0) == [*range(len(model.subgraphs))]
    assert (len(model.subgraphs) > 1) == (name != "decode_step")
    assert len(content) < len(converted)
    if name == "generate":
        np.testing.assert_array_equal(generated(content), generated(converted))


def test_a_signature_that_a_file_does_not_have_is_refused(converted):
    with pytest.raises(ValueError, match=r"`name` must be one of .*encode.* Received: 'translate'"):
        rewrites.single_signature(converted, "translate")


def test_weights_behind_the_tables_are_read_as_others(both_layouts):
    """The converter writes them there beyond 2 GB; the rewritten file has them in its tables."""
    normal, large = both_layouts
    places = [b.offset for b in flatbuffer.schema.ModelT.InitFromPackedBuf(large).buffers]
    assert max(places) > 1
    for rewritten in (rewrites.arranged, lambda content: quantize(content, "int8")[0]):
        content = rewritten(large)
        tables = flatbuffer.schema.ModelT.InitFromPackedBuf(content)
        assert not any(buffer.offset for buffer in tables.buffers)
        assert len(content) == pytest.approx(len(rewritten(normal)), rel=1e-3)
        np.testing.assert_array_equal(generated(content), generated(rewritten(normal)))


def test_tables_too_large_for_their_offsets_are_written_with_weights_behind_them(
    both_layouts, monkeypatch
):
    normal, _ = both_layouts
    model = flatbuffer.read(normal)
    monkeypatch.setattr(flatbuffer, "MAX_SIZE", 100)
    large = flatbuffer.write(model)
    monkeypatch.undo()
    places = [b.offset for b in flatbuffer.schema.ModelT.InitFromPackedBuf(large).buffers]
    assert all(place % flatbuffer.BUFFER_ALIGNMENT == 0 for place in places) and max(places) > 1
    np.testing.assert_array_equal(generated(large), generated(normal))
    assert flatbuffer.write(flatbuffer.read(large)) == flatbuffer.write(model)


def test_a_file_whose_weights_are_cut_off_is_refused(both_layouts):
    _, large = both_layouts
    buffers = flatbuffer.schema.ModelT.InitFromPackedBuf(large).buffers
    tables = large[: min(buffer.offset for buffer in buffers if buffer.offset > 1)]
    with pytest.raises(ConversionError, match=r"must contain all of its weights. Received: 1"):
        flatbuffer.read(tables)


def test_contents_that_would_be_lost_are_refused(converted):
    model = flatbuffer.read(converted)
    model.externalBuffers = [flatbuffer.schema.ExternalBufferT()]
    with pytest.raises(
        ConversionError, match=r"must be complete. Received: weights in other files"
    ):
        flatbuffer.read(flatbuffer.write(model))
    model = flatbuffer.read(converted)
    operator = model.subgraphs[0].operators[0]
    operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 10
    with pytest.raises(ConversionError, match="options of custom ops behind the tables"):
        flatbuffer.read(flatbuffer.write(model))


def test_a_quantization_whose_file_does_not_open_fails(both_layouts, monkeypatch):
    """The last check before success."""
    _, large = both_layouts
    buffers = flatbuffer.schema.ModelT.InitFromPackedBuf(large).buffers
    tables = large[: min(buffer.offset for buffer in buffers if buffer.offset > 1)]

    def broken(*_):
        return tables, {}

    monkeypatch.setattr(modes, "require_runs_on", lambda *_: None)
    monkeypatch.setitem(MODES, "float32", replace(MODES["float32"], quantize=broken))
    with pytest.raises(ConversionError, match="The exported file must be a TFLite file that"):
        quantize(large, "float32")
    monkeypatch.setattr(modes, "MAX_SIZE", 1000)
    with pytest.raises(ConversionError, match=r"at most 1,000 bytes. Received: 1.*'float32'"):
        quantize(large, "float32")
