"""Wrong inputs of a model are named before they reach TensorFlow."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from random_models import VOCABULARY, small_model
from seq2lite import zoo
from seq2lite.zoo import checks

SOURCE, TARGET = np.array([[5, 6, 3]]), np.array([[2, 7]])
INPUTS = {"source": SOURCE, "target": TARGET}
RIGHT_IDS = rf"must be ids in \[0, {VOCABULARY}\)\. Received: "
WRONG_INPUTS = [
    ({"source": np.array([[99, 3]]), "target": TARGET}, f"`source` {RIGHT_IDS}source=99"),
    ({"source": SOURCE, "target": np.array([[2, -1]])}, f"`target` {RIGHT_IDS}target=-1"),
    ({"source": np.array([["Open"]]), "target": TARGET}, r"`source` must be ids .*model\.generate"),
    ({"src": SOURCE, "target": TARGET}, "`inputs` must be a dict of .*'src'"),
    (SOURCE, "`inputs` must be a dict of"),
]


@pytest.fixture(scope="module", params=["transformer", "gru-bahdanau"])
def model(request):
    model = small_model(request.param)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, run_eagerly=False)
    return model


@pytest.mark.parametrize(("inputs", "message"), WRONG_INPUTS)
def test_wrong_inputs_of_a_call_are_named(model, inputs, message):
    calls = (
        lambda: model(inputs),
        lambda: model.fit(inputs, TARGET, verbose=0),
        lambda: model.evaluate(inputs, TARGET, verbose=0),
        lambda: model.predict(inputs, verbose=0),
        lambda: model.train_on_batch(inputs, TARGET),
        lambda: model.test_on_batch(inputs, TARGET),
        lambda: model.predict_on_batch(inputs),
    )
    for call in calls:
        with pytest.raises(ValueError, match=message):
            call()


def test_wrong_ids_of_single_steps_and_searches_are_named(model):
    state = model.encode(SOURCE)
    for call, name in (
        (lambda ids: model.encode(ids), "source"),
        (lambda ids: model.encode(tf.constant(ids)), "source"),
        (lambda ids: zoo.beam_search(model, ids, 4), "source"),
        (lambda ids: zoo.beam_search(model, tf.constant(ids), 4), "source"),
        (lambda ids: model.step(ids[0], state), "token"),
        (lambda ids: model.decode_step(ids[0], state), "token"),
    ):
        with pytest.raises(ValueError, match=f"`{name}` {RIGHT_IDS}{name}=99"):
            call(np.array([[99]]))
    with pytest.raises(ValueError, match=r"`source` must be ids .*model\.generate"):
        model.encode(["Open"])
    with pytest.raises(ValueError, match=r"`source` must be ids of shape \(batch, source_length\)"):
        model.encode(SOURCE[0])


def test_calls_and_steps_do_not_wait_for_the_values_of_tensors(model, monkeypatch):
    """Each value that is read back costs a wait for the device, at every step of a training."""
    state, expected = model.encode(SOURCE), model(INPUTS)
    monkeypatch.setattr(checks, "known_values", lambda tensor: pytest.fail("a tensor was read"))
    tensors = {name: tf.constant(ids, tf.int32) for name, ids in INPUTS.items()}
    np.testing.assert_array_equal(model(tensors), expected)
    np.testing.assert_array_equal(model({**INPUTS, "target": tensors["target"]}), expected)
    model.step(tensors["target"][:, 0], state)
    with pytest.raises(ValueError, match=f"`source` {RIGHT_IDS}source=99"):
        model({"source": np.array([[99]]), "target": tensors["target"]})


def test_a_graph_is_traced_without_values(model):
    traced = tf.function(lambda source: model.encode(source)).get_concrete_function(
        tf.TensorSpec((None, None), tf.int32)
    )
    assert not any(op.type in ("PyFunc", "EagerPyFunc") for op in traced.graph.get_operations())


def test_a_source_without_its_end_is_told(model):
    source = np.array([[5, 6, 0], [5, 3, 0]])
    for call in (
        lambda: zoo.greedy_search(model, source, 4),
        lambda: zoo.beam_search(model, source, 4),
        lambda: zoo.sample(model, source, 4),
        lambda: zoo.score(model, source, [[5, 3]] * 2),
    ):
        with pytest.warns(UserWarning, match="must end with end_id=3.* 1 of 2 rows") as found:
            call()
        assert found[0].filename == __file__


def test_ended_sources_cause_no_warning(model, recwarn):
    zoo.greedy_search(model, np.array([[5, 6, 3], [5, 3, 0]]), 4)
    assert not [w for w in recwarn if "end_id" in str(w.message)]


def test_keras_exports_and_quantizations_name_those_of_the_project(model, tmp_path):
    with pytest.raises(ValueError, match=r"to_bundle .*to_tflite .*to_saved_model"):
        model.export(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"export\.to_bundle\("):
        model.quantize("int8")
    spec = [
        {name: keras.InputSpec(dtype="int32", shape=(None, None), name=name) for name in INPUTS}
    ]
    model.export(tmp_path / "saved", input_signature=spec, verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved")
    logits = loaded.serve({name: tf.constant(ids, tf.int32) for name, ids in INPUTS.items()})
    np.testing.assert_allclose(logits, model(INPUTS), atol=1e-5)
