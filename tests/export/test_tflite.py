"""One TFLite file, three signatures: the results of Keras, at any batch and length."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from random_models import VOCABULARY, float32_file, random_ids, randomize, small_model
from seq2lite import export, zoo
from seq2lite.export.conversion.precision import in_float32
from seq2lite.export.quantization.modes import quantize
from seq2lite.export.runtime.engine import FileEngine
from seq2lite.export.runtime.interpreter import ModelFile, open_interpreter
from seq2lite.export.tflite_file import flatbuffer
from seq2lite.export.tflite_file.targets import check_target
from structures import PARAMS, SEARCHED, structured_model

LENGTHS = ([9, 4, 1], [1], [5], [2, 7, 7, 3, 6])


@pytest.fixture(params=PARAMS, scope="module")
def structure(request, exported):
    """An exported model of each structure."""
    return exported(request.param)


@pytest.fixture
def interpreter(structure):
    return open_interpreter(structure.content, 1, "model.tflite")


def rows(tokens, lengths):
    return [list(row[:n]) for row, n in zip(np.array(tokens), np.array(lengths), strict=True)]


def test_generate_equals_keras_token_by_token(structure):
    """At several batches and lengths, one after the other: no call depends on the one before."""
    generate = FileEngine(ModelFile(structure.content)).greedy
    rng = np.random.default_rng(2)
    distinct = set()
    for lengths in (*LENGTHS, LENGTHS[0]):
        source = random_ids(rng, lengths)
        for max_length in (1, 40):
            tokens, token_lengths = generate(source, max_length)
            found = rows(tokens, token_lengths)
            assert found == rows(*structure.greedy_search(source, max_length))
            assert tokens.shape[1] == max(1, *map(len, found))
            distinct.update(map(tuple, found))
    assert len(distinct) > 2


def test_a_sentence_that_ends_at_once_is_empty_not_an_error(exported):
    """The runtime cannot return an empty tensor: there is always a column."""
    structure = exported("rnn-2-fixed-lstm")
    generate = FileEngine(ModelFile(ending_at_once(structure))).greedy
    for source in ([[5, 3]], [[5, 6, 3], [7, 3, 0]]):
        tokens, lengths = generate(np.array(source, np.int32), 9)
        assert tokens.shape == (len(source), 1) and not tokens.any() and not lengths.any()


def ending_at_once(structure):
    """The file with an output bias that makes the end the most probable first token."""
    tables, bias = flatbuffer.read(structure.content), structure.model.output_projection.bias
    data = bias.numpy().tobytes()
    found = [b for b in tables.buffers if b.data is not None and bytes(b.data) == data]
    assert found
    ends = np.where(np.arange(VOCABULARY) == structure.model.end_id, 1e4, 0).astype(np.float32)
    for buffer in found:
        buffer.data = ends.view(np.uint8)
    return flatbuffer.write(tables)


def test_a_host_loop_over_encode_and_decode_step_equals_teacher_forcing(structure, interpreter):
    """The loop passes the outputs of a call to the next one by name, whatever the architecture."""
    encode = interpreter.get_signature_runner("encode")
    decode_step = interpreter.get_signature_runner("decode_step")
    rng = np.random.default_rng(3)
    for lengths in LENGTHS:
        source = random_ids(rng, lengths)
        target = random_ids(rng, [6] * len(lengths))
        state, logits = encode(source=source), []
        for token in target.T:
            state = decode_step(token=token, **state)
            logits.append(state.pop("logits"))
        expected = np.array(structure.model({"source": source, "target": target}))
        # Logits reach 30, and float32 rounds relative to the largest terms of a sum.
        atol = 4e-6 * np.abs(expected).max()
        np.testing.assert_allclose(np.stack(logits, axis=1), expected, rtol=0, atol=atol)


def test_the_state_has_the_same_names_in_all_signatures(structure, interpreter):
    signatures = interpreter.get_signature_list()
    assert set(signatures) - {"beam", "sample"} == {"decode_step", "encode", "generate"}
    assert signatures["generate"]["inputs"] == ["max_length", "source"]
    assert sorted(signatures["generate"]["outputs"]) == ["length", "tokens"]
    state = sorted(signatures["encode"]["outputs"])
    assert state == sorted(structure.model.encode(np.array([[5, 3]])))
    assert sorted(signatures["decode_step"]["inputs"]) == sorted([*state, "token"])
    assert sorted(signatures["decode_step"]["outputs"]) == sorted([*state, "logits"])


def test_the_file_contains_built_in_ops_only(structure):
    ops = check_target(structure.content, "cpu")
    assert ops["WHILE"] and ops["FULLY_CONNECTED"]
    assert "CUSTOM" not in ops


# Searches that a user adds look embeddings up in a table of their own.
@pytest.mark.parametrize(
    "structure", [param for param in PARAMS if param.values[0] not in SEARCHED], indirect=True
)
def test_the_file_stores_each_weight_once(structure):
    model = flatbuffer.read(structure.content)
    tensors = (tensor for graph in model.subgraphs for tensor in graph.tensors)
    floats = {t.buffer for t in tensors if t.type == flatbuffer.schema.TensorType.FLOAT32}
    data = {bytes(model.buffers[i].data) for i in floats if model.buffers[i].data is not None}
    # The converter folds a table of relative positions into one row for each of 257 distances.
    options = structure.model.options
    folded = 2 * 257 * options["num_heads"] if options.get("positions") == "relative" else 0
    assert sum(map(len, data)) <= 4 * (1.1 * structure.model.count_params() + folded)


def test_a_file_with_another_op_is_refused_by_its_name():
    @tf.function(input_signature=[tf.TensorSpec((2, 2), tf.float32)])
    def function(x):
        return tf.linalg.inv(x)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.SELECT_TF_OPS]
    with pytest.raises(export.ConversionError, match="Received: FlexMatrixInverse"):
        check_target(converter.convert(), "cpu")


class Unconvertible(zoo.Seq2Seq):
    """A family that a user adds, with an op that TFLite does not have."""

    def __init__(self, **ids):
        super().__init__(vocabulary_size=VOCABULARY, pad_id=0, start_id=2, end_id=3, **ids)
        self.table = self.add_weight(name="table", shape=(VOCABULARY, 8))

    def encode(self, source):
        return {"context": tf.reduce_sum(tf.gather(self.table, source), axis=1)}

    def step(self, token, state):
        x = tf.gather(self.table, token) + state["context"]
        with tf.name_scope("my_layer"):
            inverse = tf.linalg.inv(tf.einsum("bi,bj->bij", x, x) + tf.eye(8))
        return tf.matmul(inverse[:, 0], self.table, transpose_b=True), state


def test_an_op_that_no_device_has_fails_by_name_and_writes_nothing(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"earlier")
    with pytest.raises(export.ConversionError, match=r"Received: tf.MatrixInverse \(.*my_layer/"):
        export.to_tflite(Unconvertible(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.tflite"]
    assert path.read_bytes() == b"earlier"


@pytest.mark.parametrize("name", ["logits", "attention"])
def test_a_state_that_would_hide_another_output_is_refused(name, tmp_path):
    class Hiding(zoo.Seq2Seq):
        def __init__(self):
            super().__init__(vocabulary_size=VOCABULARY, pad_id=0, start_id=2, end_id=3)
            self.table = self.add_weight(name="table", shape=(VOCABULARY, 8))

        def encode(self, source):
            return {name: tf.reduce_sum(tf.gather(self.table, source), axis=1)}

        def step(self, token, state):
            return tf.matmul(state[name], self.table, transpose_b=True), state

    with pytest.raises(ValueError, match=f"`model` must have no tensor named '{name}'"):
        export.to_tflite(Hiding(), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.parametrize("family", ["transformer_tiny", "rnn_tiny"])
def test_the_int8_file_stores_each_weight_once_in_a_byte(family, tmp_path):
    """Three signatures and a tied embedding: still 1.12 bytes per parameter at most."""
    model = randomize(zoo.build(family, vocabulary_size=4000))
    content, _ = quantize(float32_file(model, tmp_path), "int8")
    assert len(content) <= 1.12 * model.count_params()


def test_to_tflite_exports_a_model_of_mixed_precision_in_float32(exported, tmp_path):
    """A subprocess converts it to the same bytes as this process does, quantized to float16."""
    name = "transformer-0-sinusoidal-attention"
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = structured_model(name)
        export.to_tflite(model, tmp_path / "model.tflite", quantization="float16")
        assert keras.config.dtype_policy().name == "mixed_float16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.compute_dtype == "float16"
    content = (tmp_path / "model.tflite").read_bytes()
    assert content == quantize(exported(name).content, "float16")[0]
    half = 2 * sum(v.shape[0] * v.shape[1] for v in model.variables if v.ndim == 2)
    assert len(exported(name).content) - len(content) > 0.6 * half  # small weights stay in float32


@pytest.mark.parametrize("name", ["transformer-2-learned-ssru", "rnn-3-additive-gru_reset_before"])
def test_a_model_of_mixed_precision_computes_in_float32_when_it_is_exported(name):
    expected = structured_model(name)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = in_float32(structured_model(name))
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.compute_dtype == "float32" and in_float32(expected) is expected
    source = random_ids(np.random.default_rng(2), [5, 3])
    for key, tensor in expected.encode(source).items():
        np.testing.assert_array_equal(model.encode(source)[key], tensor)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"quantization": "int2"},
            r"`quantization` must be one of .* Received: quantization='int2'",
        ),
        ({"model": object()}, "`model` must be a zoo.Seq2Seq. Received: model=<object"),
    ],
)
def test_a_wrong_argument_is_named_before_work_begins(arguments, message, tmp_path):
    arguments = {"model": None, "path": tmp_path / "new" / "model.tflite", **arguments}
    if arguments["model"] is None:
        arguments["model"] = small_model("transformer")
    with pytest.raises(ValueError, match=message):
        export.to_tflite(**arguments)
    assert not list(tmp_path.iterdir())
