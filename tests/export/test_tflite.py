"""One TFLite file, three signatures: Keras's answers, at any batch and length."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from random_models import VOCABULARY, float32_file, random_ids, randomize, small_model
from seq2lite import export, zoo
from seq2lite.export.quantization.modes import quantize
from seq2lite.export.runtime.interpreter import interpreter_search, open_interpreter
from seq2lite.export.tflite_file.targets import check_target

# What the presets do not have; those are exported in tests/test_presets.py.
EXPORTED = [
    "transformer-separate",
    "transformer-learned-gelu",
    "transformer-rotary-rms-swiglu-grouped",
    "transformer-relative-ssru-post-norm",
    "gru-None-bi",
    "lstm-concat-bi",
    "lstm-None-deep-shallow",
    "gru-general-shallow-deep",
    "gru-cho",
    "gru-dot-residual-current",
    "gru-concat-bottom",
]
# Other combinations of what those and the presets have.
EXPORTED += [
    pytest.param(name, marks=pytest.mark.long)
    for name in (
        "transformer-relative",
        "transformer-relative-multi-query",
        "lstm-additive-bi",
        "gru-dot-bi",
        "lstm-general-uni",
    )
]
LENGTHS = ([9, 4, 1], [1], [5], [2, 7, 7, 3, 6])


@pytest.fixture(params=EXPORTED, scope="module")
def exported(request, tmp_path_factory):
    """A model and its float32 file's bytes."""
    model = small_model(request.param)
    return model, float32_file(model, tmp_path_factory.mktemp("tflite"))


@pytest.fixture
def interpreter(exported):
    return open_interpreter(exported[1], 1, "model.tflite")


def rows(tokens, lengths):
    return [list(row[:n]) for row, n in zip(np.array(tokens), np.array(lengths), strict=True)]


def test_generate_equals_keras_token_by_token(exported):
    """At several batches and lengths, one after the other: nothing stays from call to call."""
    model, content = exported
    generate = interpreter_search(content, 1, "model.tflite")
    rng = np.random.default_rng(2)
    distinct = set()
    for lengths in (*LENGTHS, LENGTHS[0]):
        source = random_ids(rng, lengths)
        for max_length in (1, 40):
            tokens, token_lengths = generate(source, max_length)
            found = rows(tokens, token_lengths)
            assert found == rows(*zoo.greedy_search(model, source, max_length))
            assert tokens.shape[1] == max(1, *map(len, found))
            distinct.update(map(tuple, found))
    assert len(distinct) > 2  # the model does not say one thing to all


def test_a_sentence_that_ends_at_once_is_empty_not_an_error(tmp_path):
    """The runtime cannot hand out an empty tensor: there is always a column."""
    model = small_model("gru-None-bi")
    ids = np.arange(VOCABULARY)
    model.output_projection.bias.assign(np.where(ids == model.end_id, 1e4, 0))
    generate = interpreter_search(float32_file(model, tmp_path), 1, "model.tflite")
    for source in ([[5, 3]], [[5, 6, 3], [7, 3, 0]]):
        tokens, lengths = generate(np.array(source, np.int32), 9)
        assert tokens.shape == (len(source), 1) and not tokens.any() and not lengths.any()


def test_a_host_loop_over_encode_and_decode_step_equals_teacher_forcing(exported, interpreter):
    """The loop knows no architecture: what a call gives by name, the next one takes."""
    model, _ = exported
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
        expected = np.array(model({"source": source, "target": target}))
        np.testing.assert_allclose(np.stack(logits, axis=1), expected, atol=2e-5)


def test_the_state_has_the_same_names_in_all_signatures(exported, interpreter):
    signatures = interpreter.get_signature_list()
    assert sorted(signatures) == ["decode_step", "encode", "generate"]
    assert signatures["generate"]["inputs"] == ["max_length", "source"]
    assert sorted(signatures["generate"]["outputs"]) == ["length", "tokens"]
    state = sorted(signatures["encode"]["outputs"])
    assert state == sorted(exported[0].encode(np.array([[5, 3]])))
    assert sorted(signatures["decode_step"]["inputs"]) == sorted([*state, "token"])
    assert sorted(signatures["decode_step"]["outputs"]) == sorted([*state, "logits"])


def test_the_file_holds_built_in_ops_only(exported):
    ops = check_target(exported[1], "cpu")
    assert ops["WHILE"] and ops["FULLY_CONNECTED"]
    assert "CUSTOM" not in ops


def test_a_file_with_another_op_is_refused_by_its_name():
    @tf.function(input_signature=[tf.TensorSpec((2, 2), tf.float32)])
    def function(x):
        return tf.linalg.inv(x)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.SELECT_TF_OPS]
    with pytest.raises(export.ConversionError, match="Received: FlexMatrixInverse"):
        check_target(converter.convert(), "cpu")


class Unconvertible(zoo.Seq2Seq):
    """A family that a user adds, with an op that TFLite has not."""

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


@pytest.mark.parametrize("family", ["transformer_tiny", "rnn_tiny"])
def test_the_int8_file_stores_each_weight_once_in_a_byte(family, tmp_path):
    """Three signatures and a tied embedding: still 1.12 bytes a parameter at most."""
    model = randomize(zoo.build(family, vocabulary_size=4000))
    content, _ = quantize(float32_file(model, tmp_path), "int8")
    assert len(content) <= 1.12 * model.count_params()


def test_float16_halves_the_file(tiny_model, tmp_path):
    """And keeps 11 bits of a weight."""
    export.to_tflite(tiny_model, tmp_path / "model.tflite", quantization="float16")
    halved = (tmp_path / "model.tflite").read_bytes()
    full = float32_file(tiny_model, tmp_path)
    # The other files of these tests are such as `to_tflite` writes.
    assert halved == quantize(full, "float16")[0]
    assert len(halved) < len(full) - 1.5 * tiny_model.count_params()
    keys = [
        open_interpreter(content, 1, "").get_signature_runner("encode")(
            source=np.array([[5, 6, 3]], np.int32)
        )["cross_keys_0"]
        for content in (halved, full)
    ]
    error = np.abs(keys[0] - keys[1]).max()
    assert 0 < error < 2e-3 * np.abs(keys[1]).max()


@pytest.mark.parametrize(
    ("case", "policy"),
    [("transformer-relative-ssru-post-norm", "mixed_float16"), ("gru-bahdanau", "mixed_bfloat16")],
)
def test_a_model_of_mixed_precision_is_exported_in_float32(case, policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        model = small_model(case)
        content = float32_file(model, tmp_path)
        assert keras.config.dtype_policy().name == policy
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.compute_dtype == policy.removeprefix("mixed_")
    source = random_ids(np.random.default_rng(2), [5, 3])
    interpreter = open_interpreter(content, 1, "")
    state = interpreter.get_signature_runner("encode")(source=source)
    for name, expected in small_model(case).encode(source).items():
        np.testing.assert_allclose(state[name], expected, atol=2e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantization": "int2"}, r"`quantization` must be one of .* Received: 'int2'"),
        ({"model": object()}, "`model` must be a zoo.Seq2Seq. Received: object"),
    ],
)
def test_a_wrong_argument_is_named_before_work_begins(arguments, message, tmp_path):
    arguments = {"model": None, "path": tmp_path / "new" / "model.tflite", **arguments}
    if arguments["model"] is None:
        arguments["model"] = small_model("transformer")
    with pytest.raises(ValueError, match=message):
        export.to_tflite(**arguments)
    assert not list(tmp_path.iterdir())
