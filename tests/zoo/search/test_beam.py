"""Beam search compared with exhaustive enumeration, and with greedy search."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

from random_models import FEW_CASES, mostly_long, random_ids, randomize
from search_models import END, PAD, rows
from seq2lite import zoo

FAMILIES = ("rnn", "transformer")


@pytest.fixture(scope="module", params=FAMILIES)
def few_words(request):
    """A model with six ids, whose targets can all be enumerated."""
    ids = {"vocabulary_size": 6, "start_id": 1, "end_id": 2}
    if request.param == "rnn":
        sizes = {"num_layers": 1, "embedding_dim": 8, "hidden_dim": 8, "attention": "additive"}
        model = randomize(zoo.rnn_seq2seq(**ids, **sizes), scale=3)
    else:
        sizes = {"num_layers": 1, "model_dim": 8, "num_heads": 2, "feed_forward_dim": 8}
        model = randomize(zoo.transformer(**ids, **sizes), scale=3)
    bias = model.output_projection.bias.numpy()
    bias[[0, 1]] = -1e4
    model.output_projection.bias.assign(bias)
    return model


@functools.cache
def all_targets(model, source, max_length):
    """All targets of a source; log-probabilities and attention weights of each one's tokens."""
    words = [3, 4, 5]
    targets = [
        [*words_before, *([2] if n < max_length else [])]
        for n in range(max_length + 1)
        for words_before in itertools.product(words, repeat=n)
    ]
    given = np.zeros((len(targets), max_length), int)
    given[:, 0] = 1
    for row, target in zip(given, targets, strict=True):
        row[1 : len(target)] = (
            target[: max_length - 1] if len(target) == max_length else target[:-1]
        )
    inputs = {"source": np.repeat([source], len(targets), axis=0), "target": given}
    logits, weights = (np.array(x, np.float64) for x in model(inputs, return_attention=True))
    logits -= logits.max(-1, keepdims=True)
    log_probability = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return targets, log_probability, weights


def ranked_targets(model, source, max_length, length_penalty, coverage_penalty):
    """All targets of a source with their scores (Wu et al., equation 14), best first."""
    scored = []
    for target, each, paid in zip(*all_targets(model, tuple(source), max_length), strict=True):
        total = sum(each[t, token] for t, token in enumerate(target))
        paid = paid[: len(target), source != 0].sum(axis=0)
        coverage = np.log(np.clip(paid, 1e-6, 1)).sum()
        penalty = ((5 + len(target)) / 6) ** length_penalty
        score = total / penalty + coverage_penalty * coverage
        scored.append((score, [token for token in target if token != 2]))
    return sorted(scored, key=lambda pair: -pair[0])


@pytest.mark.parametrize(
    ("few_words", "length_penalty", "coverage_penalty"),
    mostly_long(
        list(itertools.product(FAMILIES, [0.0, 0.6, 1.5, -0.5], [0.0, 0.3])),
        short=[
            *itertools.product(["rnn"], [0.6, 1.5, -0.5], [0.0, 0.3]),
            ("transformer", 0.0, 0.0),
            ("transformer", 0.6, 0.3),
        ],
    ),
    indirect=["few_words"],
)
def test_a_wide_beam_finds_the_best_of_all_targets(few_words, length_penalty, coverage_penalty):
    """There are 121 targets of up to four tokens; a beam of 81 loses none of them."""
    source = np.array([[4, 5, 3, 2], [5, 2, 0, 0]])
    tokens, lengths, scores = zoo.beam_search(
        few_words,
        source,
        4,
        num_beams=81,
        num_hypotheses=6,
        length_penalty=length_penalty,
        coverage_penalty=coverage_penalty,
    )
    for i in range(2):
        best = ranked_targets(few_words, source[i], 4, length_penalty, coverage_penalty)[:6]
        np.testing.assert_allclose(scores[i], [score for score, _ in best], atol=2e-5)
        assert rows(tokens[i], lengths[i]) == [target for _, target in best]


@pytest.mark.parametrize(
    ("few_words", "length_penalty", "coverage_penalty"),
    mostly_long(
        list(itertools.product(FAMILIES, [-0.5, 0.0, 1.2], [0.0, 0.5])),
        short=[*itertools.product(["rnn"], [-0.5, 0.0, 1.2], [0.0]), ("rnn", 1.2, 0.5)],
    ),
    indirect=["few_words"],
)
def test_the_early_stop_changes_no_result(few_words, monkeypatch, length_penalty, coverage_penalty):
    """Compared with a search that never stops early, where stopping at the first end is wrong."""
    from seq2lite.zoo.search import beam

    source = random_ids(np.random.default_rng(5), [6] * 24, vocabulary_size=6)
    options = {
        "num_beams": 4,
        "num_hypotheses": 2,
        "length_penalty": length_penalty,
        "coverage_penalty": coverage_penalty,
    }
    stopped = zoo.beam_search(few_words, source, 12, **options)
    loop = beam.search_loop
    monkeypatch.setattr(
        beam,
        "search_loop",
        lambda model, source, state, length, continues, *rest: loop(
            model, source, state, length, lambda *_: True, *rest
        ),
    )
    for early, late in zip(stopped, zoo.beam_search(few_words, source, 12, **options), strict=True):
        np.testing.assert_array_equal(early, late)
    if length_penalty == 1.2 and not coverage_penalty:
        assert len(set(np.array(stopped[1])[:, 0])) > 1  # some end early, some do not


def test_one_beam_is_greedy_search(model, source, greedy):
    found, found_lengths, _ = zoo.beam_search(model, source, 9, num_beams=1)
    assert rows(found[:, 0], found_lengths[:, 0]) == rows(*greedy)


@pytest.mark.parametrize(
    "model",
    mostly_long(FEW_CASES, ["transformer-rotary-rms-swiglu-grouped"]),
    indirect=True,
)
def test_a_beam_search_is_the_same_in_a_tf_function_and_in_any_company(model, source):
    options = {
        "num_beams": 3,
        "num_hypotheses": 2,
        "coverage_penalty": 0.2 if model.has_attention else 0.0,
    }
    traced = tf.function(
        lambda source, limit: zoo.beam_search(model, source, limit, **options),
        input_signature=[tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((), tf.int32)],
    )
    tokens, lengths, scores = zoo.beam_search(model, source, 14, **options)
    for i in range(3):
        alone = source[i : i + 1, : (source[i] != PAD).sum()]
        found, found_lengths, found_scores = traced(alone, 14)
        assert rows(found[0], found_lengths[0]) == rows(tokens[i], lengths[i])
        np.testing.assert_allclose(found_scores[0], scores[i], atol=2e-5)


def test_a_beams_score_is_that_of_its_target(model, source):
    tokens, lengths, scores = zoo.beam_search(
        model, source, 9, num_beams=4, num_hypotheses=4, length_penalty=0.8
    )
    scores = np.array(scores)
    assert (np.diff(scores, axis=1) <= 0).all()
    # One row for each hypothesis of each source.
    tokens, lengths = np.array(tokens).reshape(12, -1), np.array(lengths).ravel()
    targets = [[*row, END] if len(row) < 9 else row for row in rows(tokens, lengths)]
    target = np.array([[*row, *[PAD] * (9 - len(row))] for row in targets])
    total, _ = zoo.score(model, np.repeat(source, 4, axis=0), target)
    penalty = ((5 + np.array([len(row) for row in targets])) / 6) ** 0.8
    np.testing.assert_allclose(scores.ravel(), total / penalty, rtol=1e-5, atol=1e-5)


def test_where_fewer_targets_exist_the_rest_say_so(few_words):
    """Six ids give six targets of one token."""
    source = np.array([[4, 2]])
    _, lengths, scores = zoo.beam_search(few_words, source, 1, num_beams=8, num_hypotheses=8)
    assert (np.array(scores)[0, :6] > -1e5).all()
    assert (np.array(scores)[0, 6:] <= -1e9).all()
    assert not np.array(lengths)[0, 6:].any()


def test_a_beam_with_a_prefix_finds_the_best_target_that_begins_so(few_words):
    source = np.array([[4, 5, 3, 2]])
    ranked = ranked_targets(few_words, source[0], 4, 0.6, 0.0)
    expected = next(pair for pair in ranked if pair[1][:1] == [5])
    tokens, lengths, scores = zoo.beam_search(
        few_words, source, 4, num_beams=81, prefix=np.array([[5]])
    )
    assert rows(tokens[0], lengths[0]) == [expected[1]]
    np.testing.assert_allclose(scores[0, 0], expected[0], atol=2e-5)
