"""Lowerings change how a model is traced, not what it computes."""

import numpy as np
import pytest

from random_models import randomize, small_model
from seq2lite.zoo.lowering import Lowering, current_lowering, lowered
from seq2lite.zoo.transformer.layers import FeedForward

IDS = np.array([[5, 6, 7, 8, 9, 3]])


def logits_of(model, source, target):
    state, found = model.encode(source), []
    for token in target.T:
        logits, state = model.step(token, model.grow(state, 1))
        found.append(np.array(logits))
    return np.stack(found, axis=1)


@pytest.mark.parametrize(
    "case",
    [
        "transformer",
        "transformer-learned-gelu",
        "transformer-relative-multi-query",
        "transformer-rotary-rms-swiglu-grouped",
        "transformer-ssru",
    ],
)
def test_steps_with_a_cache_of_fixed_slots_equal_teacher_forcing(case):
    model = small_model(case)
    expected = np.array(model({"source": IDS, "target": IDS}))
    with lowered(Lowering(cache_slots=6, gelu_op=False)):
        state = model.encode(IDS)
        np.testing.assert_allclose(logits_of(model, IDS, IDS), expected, atol=2e-5)
        _, after = model.step(IDS[:, 0], state)
    assert {name: x.shape for name, x in after.items()} == {n: x.shape for n, x in state.items()}
    assert ("written" in state) == (case != "transformer-ssru")


def test_a_full_cache_forgets_the_oldest_token():
    model = small_model("transformer-relative")
    with lowered(Lowering(cache_slots=2)):
        found = logits_of(model, IDS, IDS)
        # Two slots in each of two layers: the last token depends on the last three.
        changed = IDS.copy()
        changed[0, 0] = 11
        other = logits_of(model, IDS, changed)
    assert np.abs(found[:, :2] - other[:, :2]).max() > 1e-3
    np.testing.assert_allclose(found[:, 5], other[:, 5], atol=1e-5)


@pytest.mark.parametrize("case", ["gru-None-bi", "lstm-luong", "gru-bahdanau"])
def test_an_unrolled_recurrence_gives_the_state_of_a_loop(case):
    model = small_model(case)
    source = np.array([[*range(5, 18)], [5, 6, 7] + [0] * 10])  # more steps than one concatenation
    expected = model.encode(source)
    with lowered(Lowering(unroll=True)):
        state = model.encode(source)
    is_token = source[:, :, None] != 0
    for name, value in expected.items():
        values = [np.array(x) for x in (state[name], value)]
        if name in ("memory", "keys"):  # at padding the two differ
            values = [np.where(is_token, x, 0) for x in values]
        np.testing.assert_allclose(*values, atol=1e-5, err_msg=name)


def test_padding_gets_the_embedding_of_the_id_that_is_given():
    table = small_model("transformer").source_embedding
    ids = np.array([[5, 0, 7]], np.int32)
    with lowered(Lowering(padding_id=3)):
        found = table.sequences(ids, pad_id=0)
        np.testing.assert_array_equal(table.tokens(ids[0], pad_id=0), found[0])
    np.testing.assert_array_equal(found[0], table(np.array([5, 3, 7])))


def test_gelu_without_its_op_is_the_same():
    layer = small_model("transformer-learned-gelu").encoder_layers[0].feed_forward
    assert isinstance(layer, FeedForward)
    x = np.random.default_rng(0).normal(0, 3, (40, 16)).astype("float32")
    expected = layer(x)
    with lowered(Lowering(gelu_op=False)):
        np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_functions_are_called_through_the_lowering():
    calls = []

    def call(function, *arguments):
        calls.append(function.__name__)
        return function(*arguments)

    from seq2lite import zoo

    model = randomize(small_model("gru-None-bi"))
    with lowered(Lowering(call=call)):
        zoo.greedy_search(model, IDS, 3)
        zoo.beam_search(model, IDS, 3)
    assert calls == ["encode", "encode"]


def test_a_lowering_ends_with_its_block_and_nests():
    with lowered(Lowering(cache_slots=3)):
        with pytest.raises(KeyError), lowered(Lowering(cache_slots=4)):
            raise KeyError
        assert current_lowering().cache_slots == 3
    assert current_lowering() == Lowering()
