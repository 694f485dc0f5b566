"""Greedy search, and what all searches have in common: compared with plain loops."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from random_models import FEW_CASES, VOCABULARY, mostly_long, small_model
from search_models import END, PAD, START, endless, model_of, rows
from seq2lite import zoo
from seq2lite.zoo.search.loop import GROWTH


def test_greedy_search_takes_the_most_probable_token_at_each_step(model, source, greedy):
    """Compared with the logits of teacher forcing on the tokens that it found."""
    tokens, lengths = (np.array(x) for x in greedy)
    target = np.concatenate([np.full((3, 1), START), tokens], axis=1)
    best = np.array(model({"source": source, "target": target})).argmax(-1)[:, :9]
    expected = [list(itertools.takewhile(lambda token: token != END, row)) for row in best]
    assert rows(tokens, lengths) == expected
    assert tokens.shape[1] == max(1, *map(len, expected))
    assert not tokens[np.arange(tokens.shape[1]) >= lengths[:, None]].any()


@pytest.mark.parametrize("case", mostly_long(FEW_CASES, ["transformer-rotary-rms-swiglu-grouped"]))
def test_greedy_search_is_the_same_in_a_tf_function(case, source):
    model = model_of(case)
    traced = tf.function(
        lambda source, limit: zoo.greedy_search(model, source, limit),
        input_signature=[tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((), tf.int32)],
    )
    for found, expected in zip(traced(source, 5), zoo.greedy_search(model, source, 5), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "case", mostly_long(FEW_CASES, ["transformer-rotary-rms-swiglu-grouped", "lstm-luong"])
)
def test_a_search_of_any_length_equals_a_loop_over_decode_step(case, source):
    """At and beyond the sizes at which the KV cache grows."""
    model = endless(model_of(case))
    state = model.encode(source)
    token, expected = np.full(3, START), []
    for _ in range(2 * GROWTH + 1):
        logits, state = model.decode_step(token, state)
        token = np.array(logits).argmax(-1)
        expected.append(token)
    for length in (1, GROWTH, GROWTH + 1, 2 * GROWTH + 1):
        tokens, lengths = zoo.greedy_search(model, source, length)
        np.testing.assert_array_equal(tokens, np.stack(expected[:length], axis=1))
        assert list(np.array(lengths)) == [length] * 3


@pytest.mark.parametrize("search", [zoo.greedy_search, zoo.beam_search, zoo.sample])
def test_a_search_ends_when_all_sentences_have(search, monkeypatch):
    model = small_model("transformer")
    model.output_projection.bias.assign(np.where(np.arange(VOCABULARY) == END, 1e4, 0))
    steps = []
    step = model.step
    monkeypatch.setattr(model, "step", lambda *a, **k: steps.append(1) or step(*a, **k))
    tokens, lengths, *_ = search(model, np.array([[5, 3], [6, 3]]), 1000)
    assert tokens.shape[-1] == 1 and not np.array(tokens).any()
    assert not np.array(lengths).any()
    assert len(steps) == 1


PREFIX = np.array([[9, 8, 7], [6, PAD, PAD], [PAD, PAD, PAD]])


@pytest.mark.parametrize("search", [zoo.greedy_search, zoo.beam_search, zoo.sample])
def test_targets_begin_with_the_prefix(search, source):
    model = endless(model_of("transformer"))
    tokens = np.array(search(model, source, 6, prefix=PREFIX)[0]).reshape(3, -1)
    free = np.array(search(model, source, 6)[0]).reshape(3, -1)
    for row, prefix in zip(tokens, PREFIX, strict=True):
        prefix = prefix[prefix != PAD]
        np.testing.assert_array_equal(row[: len(prefix)], prefix)
    if search is not zoo.sample:
        np.testing.assert_array_equal(tokens[2], free[2])
        # The rest is what the model generates after the prefix.
        target = np.array([[START, *tokens[0, :-1]]])
        logits = np.array(model({"source": source[:1], "target": target}))[0]
        if search is zoo.greedy_search:
            np.testing.assert_array_equal(logits[3:].argmax(-1), tokens[0, 3:])
