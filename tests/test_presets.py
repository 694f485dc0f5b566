"""Every preset, small: built, trained, saved, exported and run. `make presets` does it at full size."""

import keras
import numpy as np
import pytest

from presets import DEFAULT_SIZES, VOCABULARY_SIZES
from random_models import VOCABULARY, float32_file, mostly_long, random_ids, randomize
from seq2lite import zoo
from seq2lite.export.runtime.engine import FileEngine
from seq2lite.export.runtime.interpreter import ModelFile, open_interpreter
from seq2lite.zoo.presets import PRESETS

# As in docs/reference/zoo.md, at the vocabularies of benchmarks/presets.py.
NUM_PARAMETERS = {
    "transformer_base": 63_119_496,
    "transformer_big": 214_282_376,
    "sutskever_2014": 384_112_000,
    "bahdanau_2015": 80_443_000,
    "luong_2015": 220_083_000,
    "gnmt": 280_859_904,
    "student_tiny": 16_908_032,
    "student_base": 31_250_432,
    "transformer_small": 9_429_824,
    "transformer_tiny": 3_621_440,
    "rnn_small": 9_930_816,
    "rnn_tiny": 2_366_720,
}
# What is published, in millions of parameters.
PUBLISHED = {
    "transformer_base": 65,  # Vaswani et al. 2017, table 3
    "transformer_big": 213,
    "sutskever_2014": 384,  # section 3.4: 64 M of them recurrent
    "gnmt": 278,  # Shazeer et al. 2017, https://arxiv.org/abs/1701.06538
}


def shrunk(preset):
    """The preset's structure, a thousandth of its size."""
    sizes = PRESETS[preset]
    if sizes["builder"] == "transformer":
        small = {"model_dim": 4 * sizes["num_heads"], "feed_forward_dim": 48}
    else:
        small = {name: size // 25 for name, size in sizes.items() if name.endswith("_dim")}
    return randomize(zoo.build(preset, vocabulary_size=VOCABULARY, **small), scale=2.0)


# With the structure of `transformer_base`, `student_tiny` and `transformer_tiny`.
LIKE_OTHERS = ("transformer_big", "student_base", "transformer_small")


@pytest.fixture(
    params=mostly_long(zoo.list_presets(), set(zoo.list_presets()).difference(LIKE_OTHERS)),
    scope="module",
)
def preset(request):
    return request.param


@pytest.fixture(scope="module")
def model(preset):
    return shrunk(preset)


@pytest.fixture(scope="module")
def content(model, tmp_path_factory):
    return float32_file(model, tmp_path_factory.mktemp("preset"))


@pytest.fixture
def inputs():
    rng = np.random.default_rng(1)
    return {"source": random_ids(rng, [7, 4, 1]), "target": random_ids(rng, [6, 6, 6])}


def test_a_preset_builds_under_its_name_at_its_published_size(preset):
    source_size, size = VOCABULARY_SIZES.get(preset, DEFAULT_SIZES)
    with keras.StatelessScope(initialize_variables=False):  # makes no weights
        model = zoo.build(preset, vocabulary_size=size, source_vocabulary_size=source_size)
    assert model.name == preset
    assert model.count_params() == NUM_PARAMETERS[preset]
    million = PUBLISHED.get(preset, model.count_params() / 1e6)
    assert abs(model.count_params() / 1e6 - million) < 0.03 * million


# Few steps of many layers take seconds; tests/zoo trains every kind of layer.
@pytest.mark.parametrize(
    "preset", mostly_long(zoo.list_presets(), ["transformer_tiny", "rnn_tiny"]), indirect=True
)
def test_a_preset_learns(preset, inputs):
    model = shrunk(preset)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    # Eagerly: most of the time would go into graphs of twelve layers.
    model.compile(keras.optimizers.Adam(0.01), loss, run_eagerly=True)
    answers = np.roll(inputs["target"], -1, axis=1)
    before = model.test_on_batch(inputs, answers)  # without dropout, which moves a loss by chance
    for _ in range(6):
        model.train_on_batch(inputs, answers)
    after = model.test_on_batch(inputs, answers)
    assert after < 0.95 * before


@pytest.mark.parametrize(
    "preset",
    mostly_long(zoo.list_presets(), ["transformer_tiny", "rnn_tiny", "gnmt"]),
    indirect=True,
)
def test_a_presets_steps_equal_teacher_forcing(model, inputs):
    state, logits = model.encode(inputs["source"]), []
    for token in inputs["target"].T:
        step, state = model.decode_step(token, state)
        logits.append(np.array(step))
    np.testing.assert_allclose(np.stack(logits, axis=1), np.array(model(inputs)), atol=1e-5)


@pytest.mark.parametrize(
    "preset", mostly_long(zoo.list_presets(), ["transformer_tiny", "rnn_tiny"]), indirect=True
)
def test_a_saved_preset_comes_back_the_same(model, inputs, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.array(loaded(inputs)), np.array(model(inputs)))


@pytest.mark.long  # test_tflite covers the options of the presets
def test_the_file_of_a_preset_generates_the_tokens_of_keras(model, content):
    generate = FileEngine(ModelFile(content)).greedy
    rng = np.random.default_rng(2)
    for lengths in ([9, 4, 1], [5]):
        source = random_ids(rng, lengths)
        expected, expected_lengths = zoo.greedy_search(model, source, 24)
        tokens, token_lengths = generate(source, 24)
        np.testing.assert_array_equal(tokens, expected)
        np.testing.assert_array_equal(token_lengths, expected_lengths)


@pytest.mark.long  # test_tflite covers the options of the presets
def test_the_file_of_a_preset_computes_the_logits_of_keras(model, content, inputs):
    interpreter = open_interpreter(content, 1, "model.tflite")
    decode_step = interpreter.get_signature_runner("decode_step")
    state = interpreter.get_signature_runner("encode")(source=inputs["source"])
    logits = []
    for token in inputs["target"].T:
        state = decode_step(token=token, **state)
        logits.append(state.pop("logits"))
    np.testing.assert_allclose(np.stack(logits, axis=1), np.array(model(inputs)), atol=2e-5)


def test_a_presets_summary_names_its_layers(model):
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    text = "\n".join(lines)
    assert "source_embedding" in text and "decoder_0" in text and "encoder_0" in text
    assert f"{model.count_params():,}" in text


@pytest.mark.long  # test_tflite covers the options of the presets
def test_the_file_of_a_preset_differs_from_a_model_with_a_changed_weight(model, content, inputs):
    """The comparisons above would fail: another weight gives other logits."""
    encode = open_interpreter(content, 1, "model.tflite").get_signature_runner("encode")
    weight = model.encoder_layers[0].weights if hasattr(model, "encoder_layers") else None
    weight = (weight or model.encoder[0][0].weights)[0]
    kept = weight.numpy()
    weight.assign(kept * 1.01)
    try:
        broken = model.encode(inputs["source"])
        found = encode(source=inputs["source"])
        differences = [np.abs(np.array(broken[name]) - found[name]).max() for name in found]
        assert max(differences) > 1e-4
    finally:
        weight.assign(kept)
