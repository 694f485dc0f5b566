"""Padding, later tokens and free slots have no weight, however large the attention scores are."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from random_models import float32_file, mostly_long, random_ids, with_large_scores
from seq2lite import zoo
from seq2lite.export import static
from seq2lite.export.quantization.activations import quantize_static
from seq2lite.export.quantization.calibration import StaticCalibration
from seq2lite.export.quantization.modes import quantize
from seq2lite.export.quantization.observe import observe
from seq2lite.export.runtime.engine import FileEngine
from seq2lite.export.runtime.interpreter import ModelFile
from seq2lite.export.runtime.static_file import StaticFile
from seq2lite.zoo.layers import softmax
from seq2lite.zoo.layers.softmax import attention_weights, mask_bias

CASES = [
    "transformer",
    "transformer-relative",
    "transformer-rotary-rms-swiglu-grouped",
    "gru-bahdanau",
    "lstm-luong",
]
# Scores of this size, and the relative rounding of the type.
SIZES = {"float32": (1e6, 1e-4), "mixed_bfloat16": (1e6, 0.05), "mixed_float16": (2e3, 0.01)}


def sources_and_targets():
    rng = np.random.default_rng(1)
    return random_ids(rng, [7, 4, 1, 6, 2]), random_ids(rng, [6] * 5)


def padded(ids):
    return np.pad(ids, ((0, 0), (0, 9)))


def numbers(tensor):
    return np.array(tf.cast(tensor, "float32"))


@pytest.mark.parametrize(
    ("case", "policy"),
    mostly_long(
        [(case, policy) for case in CASES for policy in SIZES],
        short=[("transformer-relative", "float32"), ("gru-bahdanau", "mixed_float16")],
    ),
)
def test_padding_and_later_tokens_have_no_weight(case, policy):
    size, rounding = SIZES[policy]
    keras.config.set_dtype_policy(policy)
    try:
        model = with_large_scores(case, size)
    finally:
        keras.config.set_dtype_policy("float32")
    source, target = sources_and_targets()
    logits, weights = map(
        numbers, model({"source": source, "target": target}, return_attention=True)
    )
    assert np.isfinite(logits).all()
    assert not weights[(source == 0)[:, None].repeat(6, axis=1)].any()
    tolerance = rounding * np.abs(logits).max()
    wider = numbers(model({"source": padded(source), "target": padded(target)}))
    np.testing.assert_allclose(wider[:, :6], logits, atol=tolerance)
    changed = np.where(np.arange(6) < 4, target, 9)
    later = numbers(model({"source": source, "target": changed}))
    np.testing.assert_allclose(later[:, :4], logits[:, :4], atol=tolerance)
    state, steps = model.encode(padded(source)), []
    for token in target.T:
        step, state = model.decode_step(token, state)
        steps.append(numbers(step))
    if policy == "float32":  # otherwise rounding decides between near scores
        np.testing.assert_allclose(np.stack(steps, axis=1), logits, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_row_of_masked_scores_only_has_finite_weights(dtype):
    scores = keras.ops.cast([[[-3e4, -5e4, 6e4]]], dtype)
    weights = attention_weights(scores, mask_bias(np.zeros((1, 1, 3)), dtype))
    assert np.isfinite(numbers(weights)).all()


def test_the_mask_is_no_product_with_zero(monkeypatch):
    """A GPU delegate computes in float16, where the mask is infinite."""
    monkeypatch.setattr(softmax, "MASK_BIAS", -np.inf)
    np.testing.assert_array_equal(numbers(mask_bias([1, 0], "float32")), [0, -np.inf])


@pytest.mark.parametrize(
    "case", mostly_long(["transformer-relative", "gru-bahdanau", "lstm-luong"], ["gru-bahdanau"])
)
def test_a_file_masks_large_scores(case, tmp_path):
    model = with_large_scores(case, 1e6)
    content = float32_file(model, tmp_path)
    source, _ = sources_and_targets()
    expected = zoo.greedy_search(model, source, 8)
    found = FileEngine(ModelFile(content)).greedy(padded(source), 8)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    search = FileEngine(ModelFile(quantize(content, "int8")[0])).greedy
    for a, b in zip(search(padded(source), 8), search(source, 8), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.long
@pytest.mark.parametrize("case", ["transformer-relative", "lstm-luong"])
def test_a_static_file_masks_large_scores(case):
    model = with_large_scores(case, 1e6)
    content = static.convert(model, "float32_static", max_source_length=9, max_target_length=8)
    sources, targets = sources_and_targets()
    expected = numbers(model({"source": sources, "target": targets}))
    ids = {"start_id": 2, "end_id": 3, "pad_id": 0}
    observed = observe(content, StaticCalibration(np.pad(sources, ((0, 0), (0, 2))), 8, ids))
    integers = quantize_static(content, observed)
    for length, source, target, logits in zip(
        [7, 4, 1, 6, 2], sources, targets, expected, strict=True
    ):
        file = StaticFile(ModelFile(content), padding=0)
        state, found = file.encode(source[None]), []
        for token in target:
            state = file.decode_step(token[None], **state)
            found.append(state.pop("logits")[0])
        np.testing.assert_allclose(found, logits, atol=1e-3 * np.abs(logits).max())
        file = StaticFile(ModelFile(integers), padding=0)
        assert_padding_has_no_effect(file, source, length)


def assert_padding_has_no_effect(file, source, length):
    """Other values in the parts of the state that belong to padding change nothing."""
    state, other = file.encode(source[None]), file.encode(np.arange(4, 13, dtype=np.int32)[None])
    changed = dict(state)
    for name, values in state.items():
        axis = next((i for i, size in enumerate(values.shape) if i and size == 9), None)
        if axis is not None and name != "source_bias":
            places = np.arange(9).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
            changed[name] = np.where(places < length, values, other[name])
    token = np.array([2], np.int32)
    expected = file.decode_step(token, **state)["logits"]
    np.testing.assert_array_equal(file.decode_step(token, **changed)["logits"], expected)
