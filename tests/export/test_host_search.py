"""Search on the host: the zoo's tokens, over any two calls."""

import itertools
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from random_models import mostly_long, random_ids, small_model
from seq2lite import zoo
from seq2lite.export.runtime.host_search import HostSearch

CASES = ("transformer", "lstm-luong")
SAMPLING = (
    {},
    {"temperature": 0.7},
    {"top_k": 5},
    {"top_p": 0.8},
    {"top_k": 7, "top_p": 0.5, "temperature": 2.0},
)


@pytest.fixture(scope="module", params=CASES)
def model(request):
    return small_model(request.param)


@pytest.fixture(scope="module")
def source(model):
    ids = random_ids(np.random.default_rng(0), [3, 6, 5, 6])
    ids[np.arange(4), [2, 5, 4, 5]] = model.end_id
    return ids


def host_search(model, **options):
    return HostSearch(
        model.encode,
        lambda token, **state: _with_logits(*model.decode_step(token, state)),
        start_id=model.start_id,
        end_id=model.end_id,
        pad_id=model.pad_id,
        **options,
    )


def _with_logits(logits, state):
    return {"logits": np.asarray(logits), **state}


PREFIX = np.array([[9, 9, 9], [6, 0, 0], [0, 0, 0], [5, 6, 0]])
CONSTRAINED = (
    {},
    {"prefix": PREFIX},
    {"min_length": 5, "repetition_penalty": 1.4},
    {"no_repeat_ngram": 2, "banned_tokens": [7, 8], "prefix": PREFIX},
)


@pytest.mark.parametrize("number", mostly_long(range(4), short=[0, 3]))
def test_greedy_tokens_equal_those_of_the_zoo(model, source, number):
    options = CONSTRAINED[number]
    expected, expected_lengths = zoo.greedy_search(model, source, 9, **options)
    for batch in (None, 3):
        tokens, lengths = host_search(model, batch=batch).greedy(source, 9, **options)
        np.testing.assert_array_equal(tokens, expected)
        np.testing.assert_array_equal(lengths, expected_lengths)
    if "prefix" in options:
        options = {**options, "prefix": PREFIX[1:2]}
    row = host_search(model).stream(source[1:2], 9, **options)
    assert list(row) == list(tokens[1, : lengths[1]])


BEAMS = {}, {"num_beams": 1}, {"num_beams": 5, "num_hypotheses": 5, "length_penalty": 1.5}


@pytest.mark.parametrize(
    ("beam", "number"),
    mostly_long(list(itertools.product(range(3), range(4))), short=[(0, 3), (2, 2)]),
)
def test_beams_equal_those_of_the_zoo(model, source, beam, number):
    beam, options = BEAMS[beam], CONSTRAINED[number]
    expected = zoo.beam_search(model, source, 9, **beam, **options)
    for batch in (None, 3):
        found = host_search(model, batch=batch).beam(source, 9, **beam, **options)
        for array, value in zip(found[:2], expected[:2], strict=True):
            np.testing.assert_array_equal(array, value)
        np.testing.assert_allclose(found[2], expected[2], atol=2e-5)


class Toy(zoo.Seq2Seq):
    """A model whose logits depend on the source, the position and the last two tokens alone."""

    def __init__(self, seed, size):
        ids = {"pad_id": 0, "start_id": 1, "end_id": 2}
        super().__init__(vocabulary_size=size, source_vocabulary_size=100, **ids)
        table = np.random.default_rng(seed).normal(0, 2, (7, size, size, size))
        table[..., :2] = -1e4  # neither padding nor start
        self.table = keras.ops.convert_to_tensor(table, "float32")

    def encode(self, source):
        first = source[:, 0] % 7
        return {"first": first, "before": keras.ops.ones_like(first)}

    def step(self, token, state):
        places = keras.ops.stack([state["first"], state["before"], token], axis=1)
        return tf.gather_nd(self.table, places), {**state, "before": token}


@pytest.mark.parametrize("seed", range(12))
def test_beams_of_random_models_equal_those_of_the_zoo(seed):
    """Every search length, beam size, number of targets and length penalty, with constraints or not."""
    rng = np.random.default_rng(seed)
    model = Toy(seed, int(rng.integers(5, 12)))
    search = host_search(model)
    for _ in range(5):
        num_beams = int(rng.integers(1, 7))
        options = {
            "num_beams": num_beams,
            "num_hypotheses": int(rng.integers(1, num_beams + 1)),
            "length_penalty": float(rng.choice([-0.7, 0, 0.6, 1, 2])),
        }
        if rng.random() < 0.5:
            options |= {
                "no_repeat_ngram": int(rng.integers(4)),
                "repetition_penalty": float(rng.choice([0.5, 1, 1.5])),
                "min_length": int(rng.integers(3)),
            }
        source = rng.integers(3, 90, (int(rng.integers(1, 4)), 1))
        max_length = int(rng.integers(2, 12))
        tokens, lengths, scores = search.beam(source, max_length, **options)
        expected = zoo.beam_search(model, source, max_length, **options)
        np.testing.assert_array_equal(lengths, expected[1], err_msg=str(options))
        np.testing.assert_array_equal(tokens, expected[0], err_msg=str(options))
        np.testing.assert_allclose(scores, expected[2], rtol=1e-5, atol=1e-5)


def test_scores_equal_those_of_the_zoo(model, source):
    target = random_ids(np.random.default_rng(2), [6, 3, 1, 4])
    target[np.arange(4), [5, 2, 0, 3]] = [model.end_id, model.end_id, model.end_id, 8]
    expected = zoo.score(model, source, target)
    for batch in (None, 3):
        total, each, attention = host_search(model, batch=batch).score(source, target)
        assert attention is None
        np.testing.assert_allclose(total, expected[0], atol=2e-5)
        np.testing.assert_allclose(each, expected[1], atol=1e-5)
        assert not each[target == model.pad_id].any()


def test_scores_come_with_the_attention_that_a_step_returns(model, source):
    def decode_step(token, **state):
        logits, state, weights = model.step(token, state, return_attention=True)
        return {**_with_logits(logits, model.grow(state, 1)), "attention": np.asarray(weights)}

    target = random_ids(np.random.default_rng(2), [6, 3, 1, 4])
    given = np.concatenate([np.full((4, 1), model.start_id), target[:, :-1]], axis=1)
    expected = model({"source": source, "target": given}, return_attention=True)[1]
    search = host_search(model)
    search.decode_step = decode_step
    np.testing.assert_allclose(search.score(source, target)[2], expected, atol=1e-5)
    tokens, _ = search.greedy(source, 9)
    np.testing.assert_array_equal(tokens, zoo.greedy_search(model, source, 9)[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, x: s.score(x, np.array([[2, 4, 3]])), "`target` must be without start_id=2"),
        (lambda s, x: s.greedy(x, 5, prefix=[[2, 4]]), "`prefix` must be without start_id=2"),
        (lambda s, x: s.greedy(x, 5, prefix=[[4] * 6]), "`prefix` must be at most max_length=5"),
        (lambda s, x: s.greedy(x, 5, prefix=[[5]]), r"`prefix` must be ids in \[0, 5\)"),
        (lambda s, x: s.score(x, [[4, 5]]), r"`target` must be ids in \[0, 5\)"),
        (lambda s, x: s.score(x, [4, 5]), r"`target` must be ids of shape \(batch=1, length\)"),
        (lambda s, x: s.beam(x, 5, num_hypotheses=5), "`num_hypotheses` must be at most num_beams"),
        (lambda s, x: s.beam(x, 5, length_penalty=np.inf), "`length_penalty` must be a finite"),
        (lambda s, x: s.beam(x, 5, num_beams=0), "`num_beams` must be a positive integer"),
        (lambda s, x: s.beam(x, 5, banned_tokens=[5]), "`banned_tokens` must be ids in"),
        (lambda s, x: s.sample(x, 5, min_length=6), "`min_length` must be at most max_length=5"),
        (lambda s, x: s.stream(np.zeros((2, 1)), 5), "`source` must be one source"),
        (lambda s, x: s.stream(x, 5, no_repeat_ngram=-1), "`no_repeat_ngram` must be"),
    ],
)
def test_arguments_out_of_range_are_named_before_work_begins(call, message):
    with pytest.raises(ValueError, match=message):
        call(scripted([[0.2, 0.2, 0.2, 0.0001, 0.3999]]), np.zeros((1, 1)))


@pytest.mark.parametrize(
    "options", [*SAMPLING, {"prefix": PREFIX, "min_length": 4, "no_repeat_ngram": 1}], ids=str
)
def test_sampled_tokens_equal_those_of_the_zoo_for_the_same_draws(model, source, options):
    draws = np.random.default_rng(1).random((4, 9), np.float32)
    tokens, lengths = host_search(model).sample(source, 9, draws=draws, **options)
    expected, expected_lengths = zoo.sample(model, source, 9, draws=draws, **options)
    np.testing.assert_array_equal(tokens, expected)
    np.testing.assert_array_equal(lengths, expected_lengths)


def scripted(logits):
    """A search over a model that gives the same logits `(batch, vocabulary_size)` at each step."""
    return HostSearch(
        lambda source: {},
        lambda token: {"logits": np.log(np.array(logits))},
        start_id=2,
        end_id=3,
        pad_id=0,
    )


def test_samples_depend_on_the_seed_alone():
    search = scripted([[0.2, 0.2, 0.2, 0.0001, 0.3999]])
    source = np.array([[5]])
    first, again, other = (search.sample(source, 30, seed=s)[0] for s in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


def test_samples_have_the_frequencies_of_the_model():
    share = np.array([0.1, 0.15, 0.3, 1e-9, 0.45])
    tokens, _ = scripted([share] * 2000).sample(np.zeros((2000, 1)), 10, seed=0)
    found = np.bincount(tokens.ravel(), minlength=5) / tokens.size
    np.testing.assert_allclose(found, share, atol=0.015)


def test_top_k_and_top_p_keep_only_the_most_probable_tokens():
    search = scripted([[0.1, 0.15, 0.3, 1e-9, 0.45]] * 200)
    source = np.zeros((200, 1))
    assert set(search.sample(source, 5, top_k=2, seed=0)[0].ravel()) == {2, 4}
    assert set(search.sample(source, 5, top_p=0.46, seed=0)[0].ravel()) == {2, 4}
    assert set(search.sample(source, 5, top_p=0.4, seed=0)[0].ravel()) == {4}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("temperature", 0),
        ("temperature", float("nan")),
        ("temperature", 1e-40),
        ("temperature", 1e40),
        ("top_k", 0),
        ("top_k", 2.0),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("seed", -1),
        ("seed", 1.0),
        ("seed", True),
    ],
)
def test_options_out_of_range_are_refused_by_name(option, value):
    with pytest.raises(ValueError, match=f"`{option}` must be"):
        scripted([[1.0, 1.0]]).sample(np.zeros((1, 1)), 5, **{option: value})


@pytest.mark.parametrize("length", [0, -1, 2.0, True, None])
def test_lengths_out_of_range_are_refused(length):
    search, source = scripted([[1.0, 1.0]]), np.zeros((1, 1))
    for run in (search.greedy, search.sample, search.beam, search.stream):
        with pytest.raises(ValueError, match="`max_length` must be a positive integer"):
            run(source, length)


def test_the_smallest_temperature_gives_the_most_probable_token():
    tiny = float(np.finfo(np.float32).tiny)
    search = scripted([[0.1, 0.2, 0.3, 1e-9, 0.4]])
    with np.errstate(invalid="raise", divide="raise"):
        tokens, _ = search.sample(np.zeros((1, 1)), 5, temperature=tiny, seed=0)
    assert set(tokens.ravel()) == {4}


def test_draws_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="`draws` must be of shape"):
        scripted([[1.0, 1.0]]).sample(np.zeros((1, 1)), 5, draws=np.zeros((1, 4)))


def test_it_imports_neither_tensorflow_nor_keras():
    from pathlib import Path

    from seq2lite.export.runtime import (
        checks,
        constraints,
        host_decoding,
        host_search,
    )

    for module in (host_search, host_decoding, constraints, checks):
        lines = Path(module.__file__).read_text().splitlines()
        imported = {line.split()[1] for line in lines if line.startswith(("import", "from"))}
        imported = {name.partition(".")[0] for name in imported if name[0] != "."}
        assert imported - sys.stdlib_module_names <= {"numpy"}
