"""Portable files: static, of few ops, in float and in integers, and equal to Keras."""

import numpy as np
import pytest

from random_models import random_ids, randomize, small_model
from seq2lite import zoo
from seq2lite.export import flatbuffer, portable
from seq2lite.export.isolation import ConversionError
from seq2lite.export.model_file import StaticFile, open_interpreter, static_search
from seq2lite.export.static_calibration import observe
from seq2lite.export.static_quantize import quantize_static

OP = flatbuffer.schema.BuiltinOperator
LENGTHS = {"max_source_length": 9, "max_target_length": 8}


def logits_of(content, source, target):
    """`(target_length, vocabulary_size)` along `target`, of one sentence."""
    file = StaticFile(open_interpreter(content, 1, ""), pad_id=0)
    state, found = file.encode(source), []
    for token in target.T:
        state = file.decode_step(token, **state)
        found.append(state.pop("logits")[0])
    return np.stack(found)


@pytest.mark.parametrize(
    "case",
    [
        "transformer-learned-gelu",
        "transformer-rotary-rms-swiglu-grouped",
        "lstm-luong",
    ],
)
def test_steps_of_the_file_are_those_of_keras(case):
    model = small_model(case)
    content = portable.convert(model, "float32", **LENGTHS)
    rng = np.random.default_rng(0)
    for length in (1, 5, 9):  # padded by 8, by 4, not at all
        source, target = random_ids(rng, [length]), random_ids(rng, [8])
        expected = model({"source": source, "target": target})[0]
        np.testing.assert_allclose(logits_of(content, source, target), expected, atol=3e-5)


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
    """mode, integer_io -> the file's bytes, as `portable.convert` makes them."""
    content = portable.convert(texts_model, "float32", **LENGTHS)
    texts = [source for source, _ in pairs[:40]]
    source = portable._calibration_ids(tokenizer, texts, LENGTHS["max_source_length"])
    observed = observe(content, source, 8, start_id=2, end_id=3, pad_id=0)

    def convert(mode, integer_io=False):
        if mode == "float32":
            return content
        bits = portable.BITS[mode]
        return quantize_static(content, observed, bits=bits, integer_io=integer_io)

    return convert


def test_a_process_of_its_own_calibrates_on_the_texts(texts_model, converted, tokenizer, pairs):
    content = portable.convert(
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
    file = StaticFile(open_interpreter(content, 1, ""), pad_id=0)
    encoded = file._encode.get_output_details()
    taken, given = file._decode_step.get_input_details(), file._decode_step.get_output_details()
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


def test_the_hosts_search_over_the_file_gives_kerass_tokens(texts_model, converted):
    ids = {name: getattr(texts_model, name) for name in ("start_id", "end_id", "pad_id")}
    source = random_ids(np.random.default_rng(0), [4, 7, 9])
    tokens, lengths = static_search(converted("float32"), ids, 1, "a file")(source, 8)
    expected, expected_lengths = zoo.greedy_search(texts_model, source, 8)
    np.testing.assert_array_equal(tokens, expected)
    np.testing.assert_array_equal(lengths, expected_lengths)


def test_files_of_one_signature_answer_as_the_whole_does(converted):
    from ai_edge_litert.interpreter import Interpreter

    content = converted("int8_static")
    part = portable.single_signature(content, "encode")
    source = np.array([[7, 8, 9, 3, 0, 0, 0, 0, 0]], np.int32)
    whole, alone = (
        Interpreter(model_content=c).get_signature_runner("encode")(source=source)
        for c in (content, part)
    )
    assert len(part) < len(content)
    for name, tensor in whole.items():
        np.testing.assert_array_equal(alone[name], tensor)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: setattr(m.operatorCodes[0], "builtinCode", OP.GELU), r"GELU \(\d+ of them\)"),
        (lambda m: setattr(m.subgraphs[0].tensors[0], "type", 4), "64-bit integers or strings in"),
        (lambda m: setattr(m.subgraphs[0].tensors[0], "shape", np.ones(5, np.int32)), "rank 5 of"),
    ],
)
def test_what_some_device_lacks_is_named(converted, spoil, message):
    model = flatbuffer.read(converted("float32"))
    spoil(model)
    with pytest.raises(ConversionError, match=message):
        portable.check_portable(flatbuffer.write(model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "int4"}, "`mode` must be one of"),
        ({"mode": "float32", "integer_io": True}, "`integer_io` must be False"),
        ({"mode": "int8_static", "batch": 2}, "`batch` must be 1"),
        ({"mode": "int8_static", "calibration": []}, "`calibration` must hold text"),
        ({"mode": "int8_static", "calibration": "text"}, "`calibration` must be a list"),
        ({"mode": "float32", "max_source_length": 1}, "`max_source_length` must be"),
    ],
)
def test_arguments_are_checked_before_any_work(texts_model, tokenizer, options, message):
    options = {"tokenizer": tokenizer, **LENGTHS, **options}
    with pytest.raises(ValueError, match=message):
        portable.convert(texts_model, options.pop("mode"), **options)


def test_a_source_too_long_for_the_file_is_refused(converted):
    with pytest.raises(ValueError, match="`source` must be of shape"):
        StaticFile(open_interpreter(converted("float32"), 1, ""), pad_id=0).encode(
            np.ones((1, 10), np.int32)
        )
