"""What every model of the zoo must hold, whatever its family."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from random_models import CASES, VOCABULARY, random_ids, small_model
from seq2lite import zoo
from seq2lite.zoo.search import GROWTH


@pytest.fixture(params=CASES, scope="module")
def model(request):
    return small_model(request.param)


@pytest.fixture
def inputs():
    rng = np.random.default_rng(1)
    source = random_ids(rng, [7, 4, 1])
    target = random_ids(rng, [6, 6, 6])
    target[:, 0] = 2
    return {"source": source, "target": target}


def stepwise(model, source, target):
    state = model.encode(source)
    logits = []
    for token in target.T:
        step, state = model.decode_step(token, state)
        logits.append(keras.ops.convert_to_numpy(step))
    return np.stack(logits, axis=1)


def test_stepwise_equals_teacher_forcing(model, inputs):
    logits = np.array(model(inputs))
    assert np.abs(logits).max() > 0.5  # large enough for 1e-5 to mean something
    np.testing.assert_allclose(stepwise(model, **inputs), logits, atol=1e-5)


def test_padding_changes_nothing(model, inputs):
    """More padding, in source and target, and company in the batch."""
    logits = np.array(model(inputs))
    wider = {name: np.pad(ids, ((0, 0), (0, 3))) for name, ids in inputs.items()}
    np.testing.assert_allclose(np.array(model(wider))[:, :6], logits, atol=1e-5)
    np.testing.assert_allclose(
        stepwise(model, wider["source"], inputs["target"]), logits, atol=1e-5
    )
    alone = {"source": inputs["source"][1:2, :4], "target": inputs["target"][1:2]}
    np.testing.assert_allclose(np.array(model(alone)), logits[1:2], atol=1e-5)


def test_later_targets_change_no_earlier_logits(model, inputs):
    logits = np.array(model(inputs))
    changed = inputs["target"].copy()
    changed[:, 4] = (changed[:, 4] + 1) % VOCABULARY
    after = np.array(model({**inputs, "target": changed}))
    np.testing.assert_allclose(after[:, :4], logits[:, :4], atol=1e-6)
    assert np.abs(after[:, 4:] - logits[:, 4:]).max() > 1e-3


def test_every_source_token_counts(model, inputs):
    logits = np.array(model(inputs))
    for place in range(7):
        changed = inputs["source"].copy()
        changed[0, place] = 4 + (changed[0, place] - 3) % (VOCABULARY - 4)
        after = np.array(model({**inputs, "source": changed}))
        assert np.abs(after[0] - logits[0]).max() > 1e-5, place
        np.testing.assert_allclose(after[1:], logits[1:], atol=1e-6)


def test_the_state_is_flat_named_and_batch_first(model, inputs):
    state = model.encode(inputs["source"])
    _, after = model.decode_step(inputs["target"][:, 0], state)
    assert list(after) == list(state)
    assert {tensor.shape[0] for tensor in state.values()} == {3}


def test_a_saved_model_comes_back_the_same(model, inputs, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(np.array(loaded(inputs)), np.array(model(inputs)))
    np.testing.assert_array_equal(stepwise(loaded, **inputs), stepwise(model, **inputs))


def test_every_weight_has_a_gradient(model, inputs):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(model(inputs)))
    variables = [variable.value for variable in model.trainable_variables]
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, variables), strict=True
    ):
        assert gradient is not None, variable.path
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.path


def test_greedy_search_takes_the_likeliest_token_each_step(model, inputs):
    """Against a plain loop over teacher forcing; eagerly and in a tf.function."""
    source = inputs["source"]
    expected = []
    for row in source:
        target = [model.start_id]
        while len(target) <= 5:
            logits = model({"source": row[None], "target": np.array([target])})
            target.append(int(np.array(logits)[0, -1].argmax()))
            if target[-1] == model.end_id:
                break
        expected.append([token for token in target[1:] if token != model.end_id])
    traced = tf.function(
        lambda source, limit: zoo.greedy_search(model, source, limit),
        input_signature=[tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((), tf.int32)],
    )
    for tokens, lengths in (zoo.greedy_search(model, source, 5), traced(source, 5)):
        rows = [list(row[:n]) for row, n in zip(np.array(tokens), np.array(lengths), strict=True)]
        assert rows == expected
        assert tokens.shape[1] == max(map(len, expected))


def test_a_search_of_any_length_equals_a_loop_over_decode_step(model, inputs):
    """Beyond the room that is made at a time, and at its borders."""
    bias = model.output_projection.bias.numpy()
    model.output_projection.bias.assign(  # no sentence ends
        np.where(np.arange(VOCABULARY) == model.end_id, -1e4, bias)
    )
    source = inputs["source"]
    state = model.encode(source)
    token, expected = np.full(3, model.start_id), []
    for _ in range(2 * GROWTH + 1):
        logits, state = model.decode_step(token, state)
        token = np.array(logits).argmax(-1)
        expected.append(token)
    for length in (1, GROWTH, GROWTH + 1, 2 * GROWTH + 1):
        tokens, lengths = zoo.greedy_search(model, source, length)
        np.testing.assert_array_equal(tokens, np.stack(expected[:length], axis=1))
        assert list(np.array(lengths)) == [length] * 3
    model.output_projection.bias.assign(bias)


def test_greedy_search_ends_when_all_sentences_have():
    model = small_model("transformer")
    model.output_projection.bias.assign(np.where(np.arange(VOCABULARY) == model.end_id, 1e4, 0))
    tokens, lengths = zoo.greedy_search(model, np.array([[5, 3], [6, 3]]), 1000)
    assert tokens.shape == (2, 0)
    assert list(np.array(lengths)) == [0, 0]


def test_dropout_acts_in_training_only(model, inputs):
    np.testing.assert_array_equal(np.array(model(inputs)), np.array(model(inputs)))
    trained = np.array(model(inputs, training=True))
    assert np.abs(trained - np.array(model(inputs))).max() > 1e-3


@pytest.mark.parametrize(
    "case", ["transformer", "lstm-additive-bi", "gru-concat-bi", "lstm-dot-uni"]
)
def test_mixed_precision_trains_and_decodes(case, inputs):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small_model(case)
        logits = keras.ops.convert_to_numpy(keras.ops.cast(model(inputs, training=True), "float32"))
        step = stepwise(model, **inputs).astype("float32")
    finally:
        keras.config.set_dtype_policy("float32")
    exact = np.array(small_model(case)(inputs))
    assert model(inputs).dtype == "bfloat16"
    assert np.abs(logits - exact).max() > 0
    np.testing.assert_allclose(step, exact, atol=0.1 * np.abs(exact).max())


def test_a_source_of_another_rank_is_named():
    model = small_model("gru-None-bi")
    with pytest.raises(ValueError, match=r"`source` must be ids of shape \(batch, source_length\)"):
        zoo.greedy_search(model, np.array([5, 3]), 4)
