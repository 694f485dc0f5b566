"""Storing once what a file holds twice changes its size and nothing else."""

import numpy as np
import pytest
import tensorflow as tf

from random_models import randomize
from seq2lite import zoo
from seq2lite.export.conversion.saved_model import save
from seq2lite.export.runtime.interpreter import open_interpreter
from seq2lite.export.signatures.dynamic import Signatures
from seq2lite.export.tflite_file import flatbuffer, graphs, rewrites


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """An int8 file as the converter gives it."""
    model = zoo.transformer(
        vocabulary_size=3000, num_layers=1, model_dim=32, num_heads=2, feed_forward_dim=64
    )
    folder = tmp_path_factory.mktemp("saved") / "model"
    save(Signatures(randomize(model)), folder)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


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
