"""Search on the host: the zoo's tokens, over any two calls."""

import numpy as np
import pytest

from random_models import random_ids, small_model
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


def host_search(model):
    return HostSearch(
        model.encode,
        lambda token, **state: _with_logits(*model.decode_step(token, state)),
        start_id=model.start_id,
        end_id=model.end_id,
        pad_id=model.pad_id,
    )


def _with_logits(logits, state):
    return {"logits": np.asarray(logits), **state}


def test_greedy_tokens_equal_those_of_the_zoo(model, source):
    tokens, lengths = host_search(model).greedy(source, 9)
    expected, expected_lengths = zoo.greedy_search(model, source, 9)
    np.testing.assert_array_equal(tokens, expected)
    np.testing.assert_array_equal(lengths, expected_lengths)


@pytest.mark.parametrize("options", SAMPLING, ids=str)
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
    for run in (search.greedy, search.sample):
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

    from seq2lite.export.runtime import host_search

    imports = [
        line
        for line in Path(host_search.__file__).read_text().splitlines()
        if line.startswith(("import", "from"))
    ]
    standard = ["from collections.abc import Callable", "from numbers import Integral"]
    own = ["from .checks import is_number, require, require_positive"]
    assert imports == [*standard, "import numpy as np", *own]
