"""Portable files: static, of few ops, in float and in integers, and equal to Keras."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from random_models import random_ids, randomize, small_model
from seq2lite import zoo
from seq2lite.export import static
from seq2lite.export.conversion.converter import convert_signatures
from seq2lite.export.quantization.activations import quantize_static
from seq2lite.export.quantization.calibration import StaticCalibration
from seq2lite.export.quantization.observe import observe
from seq2lite.export.quantization.scales import softmax_inputs
from seq2lite.export.runtime.engine import FileEngine
from seq2lite.export.runtime.interpreter import ModelFile
from seq2lite.export.runtime.static_file import StaticFile
from seq2lite.export.signatures.static import StaticSignatures
from seq2lite.export.system.isolation import ConversionError
from seq2lite.export.tflite_file import flatbuffer, rewrites, versions

OP = flatbuffer.schema.BuiltinOperator
LENGTHS = {"max_source_length": 9, "max_target_length": 8}


def logits_of(content, source, target):
    """`(target_length, vocabulary_size)` along `target`, of one sentence."""
    file = StaticFile(ModelFile(content), padding=0)
    state, found = file.encode(source), []
    for token in target.T:
        state = file.decode_step(token, **state)
        found.append(state.pop("logits")[0])
    return np.stack(found)


@pytest.mark.parametrize(
    "case",
    [
        "transformer-learned-gelu",
        pytest.param("transformer-rotary-rms-swiglu-grouped", marks=pytest.mark.long),
        "lstm-luong",
    ],
)
def test_steps_of_the_file_are_those_of_keras(case):
    model = small_model(case)
    content = static.convert(model, "float32_static", **LENGTHS)
    rng = np.random.default_rng(0)
    for length in (1, 5, 9):  # padded by 8, by 4, not at all
        source, target = random_ids(rng, [length]), random_ids(rng, [8])
        expected = model({"source": source, "target": target})[0]
        np.testing.assert_allclose(logits_of(content, source, target), expected, atol=3e-5)


@pytest.fixture(scope="module")
def large_scores():
    """A Transformer with attention scores from -60 to 80 and NaN at padding: it, and its files."""
    model = small_model("transformer-separate")
    for variable in model.variables:
        if "query" in variable.path and variable.path.endswith("kernel"):
            variable.assign(3 * variable)
    table = model.source_embedding.embeddings
    table.assign(np.where(np.arange(table.shape[0])[:, None] == model.pad_id, np.nan, table))
    # Not `static.convert`, which refuses NaN in a weight.
    content = convert_signatures(StaticSignatures(model, *LENGTHS.values()), "portable")
    rng = np.random.default_rng(1)
    source = random_ids(rng, rng.integers(1, 10, 24))
    ids = {"start_id": 2, "end_id": 3, "pad_id": 0}
    observed = observe(content, StaticCalibration(source, 8, ids))
    assert max(observed[f"{g}/{t}"][1] for g, t in softmax_inputs(flatbuffer.read(content))) > 50
    return model, {"float32": content, "int8_static": quantize_static(content, observed)}


def test_large_scores_and_nan_at_padding_change_nothing_in_float(large_scores):
    model, files = large_scores
    rng = np.random.default_rng(0)
    for length in (1, 5, 9):
        source, target = random_ids(rng, [length]), random_ids(rng, [8])
        expected = model({"source": source, "target": target})[0]
        np.testing.assert_allclose(
            logits_of(files["float32"], source, target), expected, rtol=1e-4, atol=1e-4
        )


def test_large_scores_in_integers_choose_kerass_tokens(large_scores):
    model, files = large_scores
    rng, agree = np.random.default_rng(0), []
    for length in (1, 3, 5, 7) * 4:
        source, target = random_ids(rng, [length]), random_ids(rng, [8])
        expected = model({"source": source, "target": target})[0].numpy()
        found = logits_of(files["int8_static"], source, target)
        agree.append(found.argmax(-1) == expected.argmax(-1))
    assert np.mean(agree) > 0.7  # of 60 tokens whose random logits are near each other


@pytest.mark.parametrize("mode", ["float32", "int8_static"])
def test_values_at_padding_and_in_free_slots_have_no_effect(large_scores, mode):
    _, files = large_scores
    file = StaticFile(ModelFile(files[mode]), padding=0)
    rng = np.random.default_rng(0)
    for length in (1, 3, 6):
        source = random_ids(rng, [length])
        state, other = file.encode(source), file.encode(random_ids(rng, [9]))
        changed = dict(state)
        for name, values in state.items():
            if name.startswith("cross_"):
                places = np.arange(9) if "keys" in name else np.arange(9)[:, None]
                changed[name] = np.where(places < length, values, other[name])
            elif name.startswith("self_"):
                changed[name] = rng.normal(0, 3, values.shape).astype(np.float32)
        token = np.array([2], np.int32)
        expected = file.decode_step(token, **state)["logits"]
        np.testing.assert_array_equal(file.decode_step(token, **changed)["logits"], expected)


@pytest.fixture(scope="module", params=["transformer", "rnn"])
def texts_model(request, tokenizer):
    """A small model of the tokenizer's ids, random weights."""
    sizes = {"num_layers": 1, "vocabulary_size": tokenizer.vocabulary_size}
    if request.param == "transformer":
        sizes |= {"model_dim": 32, "num_heads": 2, "feed_forward_dim": 64}
        return randomize(zoo.transformer(**sizes))
    return randomize(zoo.rnn_seq2seq(embedding_dim=16, hidden_dim=32, **sizes), scale=2.0)


@pytest.fixture(scope="module")
def converted(texts_model, tokenizer, pairs):
    """mode, integer_io -> the file's bytes, as `static.convert` makes them."""
    content = static.convert(texts_model, "float32_static", **LENGTHS)
    texts = [source for source, _ in pairs[:40]]
    ids = {"start_id": 2, "end_id": 3, "pad_id": 0}
    observed = observe(content, static.calibrate(tokenizer, texts, LENGTHS, ids, padding=0))

    def convert(mode, integer_io=False):
        if mode == "float32":
            return content
        bits = {"int8_static": 8, "int16x8": 16}[mode]
        return quantize_static(content, observed, bits=bits, integer_io=integer_io)

    return convert


@pytest.mark.parametrize(
    "texts_model", ["transformer", pytest.param("rnn", marks=pytest.mark.long)], indirect=True
)
def test_a_process_of_its_own_calibrates_on_the_texts(texts_model, converted, tokenizer, pairs):
    content = static.convert(
        texts_model,
        "int8_static",
        **LENGTHS,
        tokenizer=tokenizer,
        calibration=[source for source, _ in pairs[:40]],
    )
    assert content == converted("int8_static")


@pytest.mark.parametrize(("mode", "error"), [("int8_static", 0.15), ("int16x8", 0.03)])
def test_integers_are_near_keras(texts_model, converted, tokenizer, pairs, mode, error):
    ids = tokenizer.encode([pairs[50][0]])[0][:8]
    source, target = np.array([[*ids, 3]], np.int32), np.array([[2, 9, 8, 7]], np.int32)
    expected = texts_model({"source": source, "target": target})[0].numpy()
    found = logits_of(converted(mode), source, target)
    assert np.abs(found - expected).max() < error * np.abs(expected).max()


def test_state_goes_from_step_to_step_as_integers_of_one_scale(converted):
    content = converted("int8_static", integer_io=True)
    file = StaticFile(ModelFile(content), padding=0)
    encoded = file.file.outputs("encode")
    taken, given = file.file.inputs("decode_step"), file.file.outputs("decode_step")
    assert given["logits"]["dtype"] == np.int8
    for name in taken.keys() - {"token", "position"}:
        assert taken[name]["dtype"] == np.int8, name
        for side in (encoded, given):
            if name in side:
                assert side[name]["quantization"] == taken[name]["quantization"], name


def test_integer_io_answers_as_float_io_does(converted):
    source, target = np.array([[7, 8, 9, 3]], np.int32), np.array([[2, 9, 8]], np.int32)
    of_floats, of_integers = (
        logits_of(converted("int8_static", integer_io=io), source, target) for io in (False, True)
    )
    np.testing.assert_allclose(of_integers, of_floats, atol=1e-6)


@pytest.mark.parametrize("mode", ["int8_static", "int16x8"])
def test_an_integer_file_states_the_runtime_that_its_kernels_need(converted, mode):
    content = converted(mode)
    assert versions.stated_runtime(content) == versions.required_runtime(content) == "2.17.0"
    found = {name.partition(" v")[0]: name for name in versions.ops_beyond(content, "1.0")}
    sixteen = mode == "int16x8"
    for name, minimum in {
        "FULLY_CONNECTED": 12,
        "ADD": 2 + sixteen,
        "SOFTMAX": 2 + sixteen,
    }.items():
        if name in found:
            assert int(found[name].partition(" v")[2]) >= minimum, name
    assert {"FULLY_CONNECTED", "ADD"} <= found.keys()


def test_an_op_without_an_integer_kernel_is_named(converted):
    model = flatbuffer.read(converted("int8_static"))
    for code in model.operatorCodes:
        if code.builtinCode == OP.ADD:
            code.builtinCode = code.deprecatedBuiltinCode = OP.DIV
    with pytest.raises(ConversionError, match=r"must have integer kernels, as .* Received: DIV"):
        versions.raise_integer_versions(model)


def test_a_runtime_too_old_for_the_file_is_refused(converted):
    content = converted("int8_static")
    versions.require_runs_on(content, "2.17")
    message = r"`min_runtime` must be 2\.17\.0 or later for this model: it has FULLY_CONNECTED v12"
    with pytest.raises(ConversionError, match=message):
        versions.require_runs_on(content, "2.16")


class LastWord(zoo.Seq2Seq):
    """A family outside the zoo: logits depend on the source tokens and on the generated tokens."""

    def __init__(self, **vocabulary):
        super().__init__(**vocabulary)
        self.table = self.add_weight(name="table", shape=(self.vocabulary_size, 16))

    def encode(self, source):
        is_token = tf.cast(source != self.pad_id, tf.float32)[:, :, None]
        embedded = tf.gather(self.table, source) * is_token
        return {
            "sum": tf.reduce_sum(embedded, axis=1),
            "generated": tf.zeros((tf.shape(source)[0], 16)),
        }

    def step(self, token, state):
        generated = state["generated"] + tf.gather(self.table, token)
        logits = tf.matmul(generated + state["sum"], tf.transpose(self.table))
        return logits, {**state, "generated": generated}


def test_a_family_outside_the_zoo_is_converted(tokenizer, pairs):
    model = randomize(LastWord(vocabulary_size=1000, start_id=2, end_id=3, pad_id=0))
    source = np.array([[5, 6, 3, 0]], np.int32)
    logits, state = model.decode_step(np.array([2]), model.encode(source))
    texts = [source for source, _ in pairs[:8]]
    for mode, error in (("float32_static", 1e-6), ("int8_static", 0.15)):
        content = static.convert(model, mode, **LENGTHS, tokenizer=tokenizer, calibration=texts)
        file = StaticFile(ModelFile(content), padding=0)
        found = file.decode_step(np.array([2], np.int32), **file.encode(source))
        for name, expected in {"logits": logits, "generated": state["generated"]}.items():
            np.testing.assert_allclose(
                found[name], expected, atol=error * np.abs(expected).max(), err_msg=name
            )


def test_the_hosts_search_over_the_file_gives_kerass_tokens(texts_model, converted):
    ids = {name: getattr(texts_model, name) for name in ("start_id", "end_id", "pad_id")}
    source = random_ids(np.random.default_rng(0), [4, 7, 9])
    tokens, lengths = FileEngine(ModelFile(converted("float32")), ids).greedy(source, 8)
    expected, expected_lengths = zoo.greedy_search(texts_model, source, 8)
    np.testing.assert_array_equal(tokens, expected)
    np.testing.assert_array_equal(lengths, expected_lengths)


def test_threads_that_share_a_static_file_get_the_tokens_of_one_thread(converted):
    engine = FileEngine(ModelFile(converted("float32")), {"start_id": 2, "end_id": 3, "pad_id": 0})
    rng = np.random.default_rng(0)
    sources = [random_ids(rng, rng.integers(1, 10, 2)) for _ in range(24)]
    expected = [engine.greedy(source, 8)[0].tolist() for source in sources]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda source: engine.greedy(source, 8)[0].tolist(), sources)
        assert list(found) == expected


def test_files_of_one_signature_give_the_same_results(converted):
    from ai_edge_litert.interpreter import Interpreter

    content = converted("int8_static")
    part = rewrites.single_signature(content, "encode")
    source = np.array([[7, 8, 9, 3, 0, 0, 0, 0, 0]], np.int32)
    whole, alone = (
        Interpreter(model_content=c).get_signature_runner("encode")(source=source)
        for c in (content, part)
    )
    assert len(part) < len(content)
    for name, tensor in whole.items():
        np.testing.assert_array_equal(alone[name], tensor)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantization": "int4"}, "`quantization` must be one of"),
        ({"quantization": "float32_static", "integer_io": True}, "`integer_io` must be False"),
        ({"quantization": "int8_static", "batch": 2}, "`batch` must be 1"),
        ({"quantization": "int8_static", "calibration": []}, "`calibration` must be a list"),
        ({"quantization": "int8_static", "calibration": "text"}, "`calibration` must be a list"),
        ({"quantization": "int8_static", "calibration": None}, "`calibration` must be a list"),
        (
            {"quantization": "int8_static", "calibration": (t for t in "ab")},
            "`calibration` must be a list",
        ),
        (
            {"quantization": "int16x8", "min_runtime": "2.16"},
            "`min_runtime` must be 2.17 or later with",
        ),
        (
            {"quantization": "float32_static", "min_runtime": "new"},
            "`min_runtime` must be a str such as",
        ),
        ({"quantization": "float32_static", "max_source_length": 1}, "`max_source_length` must be"),
    ],
)
def test_arguments_are_checked_before_any_work(texts_model, tokenizer, options, message):
    options = {"tokenizer": tokenizer, **LENGTHS, **options}
    with pytest.raises(ValueError, match=message):
        static.convert(texts_model, options.pop("quantization"), **options)


def test_a_source_that_does_not_fit_the_file_is_refused(converted):
    source = np.ones((1, 10), np.int32)
    with pytest.raises(ValueError, match=r"`source` must be at most 9 tokens long.*\(1, 10\)"):
        StaticFile(ModelFile(converted("float32")), padding=0).encode(source)
    for wrong in (np.ones((2, 3), np.int32), [5, 6, 3]):
        with pytest.raises(ValueError, match=r"`source` must be of shape \(1, length\)"):
            StaticFile(ModelFile(converted("float32")), padding=0).encode(wrong)
    ids = {"start_id": 2, "end_id": 3, "pad_id": 0}
    with pytest.raises(ValueError, match="`source` must be at most 9 tokens"):
        FileEngine(ModelFile(converted("float32")), ids).greedy(source, 8)


def test_more_tokens_than_a_cache_remembers_are_refused(large_scores):
    _, files = large_scores
    search = FileEngine(
        ModelFile(files["float32"]), {"start_id": 2, "end_id": 3, "pad_id": 0}
    ).greedy
    source = np.array([[5, 6, 3]], np.int32)
    assert search(source, 8)[1] <= 8
    with pytest.raises(
        ValueError, match=r"`max_length` must be at most 8.* Received: max_length=9"
    ):
        search(source, 9)
