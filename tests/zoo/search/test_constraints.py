"""Constraints of the searches, compared with the logits processors of Hugging Face."""

import numpy as np
import pytest
import tensorflow as tf
import torch
from transformers.generation import logits_process as hugging_face

from random_models import VOCABULARY, mostly_long
from search_models import END, PAD, START, model_of, rows
from seq2lite import zoo
from seq2lite.export.runtime.constraints import Constraints
from seq2lite.zoo.search.constraints import constraint

OPTIONS = [
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.4},
    {"no_repeat_ngram": 1},
    {"no_repeat_ngram": 2},
    {"no_repeat_ngram": 3},
    {"min_length": 4},
    {"banned_tokens": (5, 9, 40, START)},
    {"repetition_penalty": 1.3, "no_repeat_ngram": 2, "min_length": 3, "banned_tokens": [7, 8]},
]


def processors(min_length=0, no_repeat_ngram=0, repetition_penalty=1.0, banned_tokens=()):
    """Hugging Face's processors of the same constraints, in the order of its `generate`."""
    chosen = []
    if repetition_penalty != 1:
        chosen.append(hugging_face.RepetitionPenaltyLogitsProcessor(repetition_penalty))
    if no_repeat_ngram:
        chosen.append(hugging_face.NoRepeatNGramLogitsProcessor(no_repeat_ngram))
    if banned_tokens:
        words = [[token] for token in banned_tokens]
        chosen.append(hugging_face.NoBadWordsLogitsProcessor(words, END))
        chosen.append(hugging_face.SuppressTokensLogitsProcessor(banned_tokens))
    if min_length:
        chosen.append(hugging_face.MinNewTokensLengthLogitsProcessor(1, min_length, END))
    return hugging_face.LogitsProcessorList(chosen)


def processed(scores, history, options):
    """Scores `(rows, vocabulary_size)` after Hugging Face's processors; the start is in `history`."""
    scores = torch.tensor(np.array(scores), dtype=torch.float32)
    return processors(**options)(torch.tensor(np.array(history)), scores).numpy()


class Ids:
    """The special ids that constraints read from a model."""

    vocabulary_size, start_id, end_id, pad_id = VOCABULARY, START, END, PAD


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_scores_equal_those_of_hugging_face(options):
    """Histories of every length contain repeated n-grams; scores have both signs."""
    rng = np.random.default_rng(0)
    constrain = constraint(Ids, 12, **options)
    on_host = Constraints(**options)
    for step in range(12):
        tokens = np.full((30, 12), PAD, np.int32)
        tokens[:, :step] = rng.choice([4, 5, 6, START], (30, step))
        scores = rng.normal(0, 3, (30, VOCABULARY)).astype(np.float32)
        history = np.concatenate([np.full((30, 1), START), tokens[:, :step]], axis=1)
        expected = processed(scores, history, options)
        np.testing.assert_array_equal(constrain(scores, tokens, step), expected)
        found = on_host.apply(scores, history, end_id=END)
        np.testing.assert_array_equal(found, expected)


def test_without_constraints_a_search_adds_no_op(source):
    assert constraint(Ids, 12) is None
    assert constraint(Ids, 12, repetition_penalty=np.float32(1)) is None


@pytest.fixture(scope="module", params=["transformer", "lstm-luong"])
def family(request):
    return model_of(request.param)


def greedy_with_hugging_face(model, source, max_length, options, prefix):
    state = model.encode(source)
    history = np.full((len(source), 1), START)
    running = np.ones(len(source), bool)
    for step in range(max_length):
        logits, state = model.decode_step(history[:, -1], state)
        token = processed(logits, history, options).argmax(axis=1)
        if step < prefix.shape[1]:
            token = np.where(prefix[:, step] == PAD, token, prefix[:, step])
        running &= token != END
        history = np.concatenate([history, np.where(running, token, PAD)[:, None]], axis=1)
    return history[:, 1:]


def beam_with_hugging_face(model, source, max_length, options, prefix, num_beams):
    """Plain beam search over lists: the best target of one source and its score."""
    active, complete = [([START], 0.0)], []
    for step in range(max_length):
        history = np.array([tokens for tokens, _ in active])
        inputs = {"source": np.repeat(source[None], len(active), axis=0), "target": history}
        each = np.array(tf.nn.log_softmax(model(inputs)[:, -1]))
        allowed = processed(each, history, options)
        if step < len(prefix) and prefix[step] != PAD:
            forced = np.arange(VOCABULARY) == prefix[step]
            allowed = np.where(forced, each, -np.inf)
        candidates = [
            ([*tokens, token], total + scores[token])
            for (tokens, total), scores in zip(active, allowed, strict=True)
            for token in range(VOCABULARY)
        ]
        candidates = sorted(candidates, key=lambda pair: -pair[1])[: 2 * num_beams]
        for tokens, total in candidates[:num_beams]:
            if tokens[-1] == END or step + 1 == max_length:
                score = total / ((5 + step + 1) / 6) ** 0.6
                complete.append((score, [token for token in tokens[1:] if token != END]))
        active = [pair for pair in candidates if pair[0][-1] != END][:num_beams]
        active = [pair for pair in active if pair[1] > -np.inf]
    return max(complete)


PREFIX = np.array([[9, 9, 9], [6, PAD, PAD], [PAD, PAD, PAD]])


@pytest.mark.parametrize("prefix", [PREFIX[:, :0], PREFIX], ids=["free", "prefix"])
@pytest.mark.parametrize("number", mostly_long(range(len(OPTIONS)), short=[len(OPTIONS) - 1]))
def test_searches_equal_loops_over_hugging_faces_processors(family, source, number, prefix):
    """Greedy search over logits, beam search over log-probabilities. A prefix is never changed."""
    options = OPTIONS[number]
    given = {**options, "prefix": prefix if prefix.size else None}
    tokens, lengths = zoo.greedy_search(family, source, 10, **given)
    expected = greedy_with_hugging_face(family, source, 10, options, prefix)
    np.testing.assert_array_equal(tokens, expected[:, : tokens.shape[1]])
    assert list(np.array(lengths)) == list((expected != PAD).sum(axis=1))
    tokens, lengths, scores = zoo.beam_search(family, source, 6, num_beams=3, **given)
    found = rows(tokens[:, 0], lengths[:, 0])
    for i, (row, score) in enumerate(zip(found, np.array(scores)[:, 0], strict=True)):
        best_score, best = beam_with_hugging_face(family, source[i], 6, options, prefix[i], 3)
        assert row == best
        np.testing.assert_allclose(score, best_score, rtol=1e-5)


ALL = {"min_length": 3, "no_repeat_ngram": 2, "repetition_penalty": 1.3, "banned_tokens": [7, 8]}


@pytest.mark.parametrize(
    "family", mostly_long(["transformer", "lstm-luong"], ["lstm-luong"]), indirect=True
)
def test_constrained_searches_are_the_same_in_a_tf_function(family, source):
    @tf.function(
        input_signature=[tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((), tf.int32)]
    )
    def traced(source, limit):
        greedy = zoo.greedy_search(family, source, limit, **ALL)
        return *greedy, *zoo.beam_search(family, source, limit, **ALL)

    expected = (
        *zoo.greedy_search(family, source, 8, **ALL),
        *zoo.beam_search(family, source, 8, **ALL),
    )
    for found, value in zip(traced(source, 8), expected, strict=True):
        np.testing.assert_allclose(found, value, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"top_k": 4}, {"temperature": 3.0, "top_p": 0.9}], ids=str)
def test_samples_keep_the_constraints(family, source, options):
    repeated = np.repeat(source, 40, axis=0)
    tokens, lengths = zoo.sample(family, repeated, 9, seed=1, **ALL, **options)
    for row in rows(tokens, lengths):
        assert len(row) >= 3 and not {7, 8} & set(row)
        pairs = list(zip([START, *row], row, strict=False))
        assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_length": -1}, "`min_length` must be a non-negative integer"),
        ({"min_length": 5}, "`min_length` must be at most max_length=4"),
        ({"no_repeat_ngram": 2.0}, "`no_repeat_ngram` must be a non-negative integer"),
        ({"no_repeat_ngram": True}, "`no_repeat_ngram` must be a non-negative integer"),
        ({"repetition_penalty": 0}, "`repetition_penalty` must be a finite, positive number"),
        ({"repetition_penalty": float("inf")}, "`repetition_penalty` must be a finite"),
        ({"banned_tokens": 5}, "`banned_tokens` must be a list of ids"),
        ({"banned_tokens": "5"}, "`banned_tokens` must be a list of ids"),
        ({"banned_tokens": [-1]}, "`banned_tokens` must be a list of ids"),
        ({"banned_tokens": [60]}, r"`banned_tokens` must be ids in \[0, 60\)"),
        ({"banned_tokens": range(60)}, "and not all of them"),
        (
            {"banned_tokens": sorted({*range(60)} - {END}), "min_length": 1},
            f"`min_length` must be 0 where all tokens but end_id={END} are banned",
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("search", [zoo.greedy_search, zoo.beam_search, zoo.sample])
def test_constraints_out_of_range_are_named(search, options, message):
    with pytest.raises(ValueError, match=message):
        search(model_of("gru-None-bi"), np.array([[5, 3]]), 4, **options)
