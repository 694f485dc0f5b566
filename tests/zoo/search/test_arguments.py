"""Arguments of the searches: wrong ones are named, limits are exact."""

import numpy as np
import pytest

from random_models import small_model
from search_models import endless, model_of
from seq2lite import zoo


@pytest.fixture(scope="module")
def small():
    """A model without attention."""
    return small_model("gru-None-bi")


@pytest.mark.parametrize(
    ("search", "options", "message"),
    [
        (zoo.beam_search, {"length_penalty": float("nan")}, "`length_penalty` must be a finite"),
        (
            zoo.greedy_search,
            {"max_length": 0},
            "`max_length` must be a positive integer, or an int",
        ),
        (zoo.beam_search, {"max_length": 2.5}, "`max_length` must be a positive integer"),
        (zoo.sample, {"max_length": None}, "`max_length` must be a positive integer"),
        (zoo.sample, {"draws": np.zeros((1, 3))}, r"`draws` must be numbers of shape \(batch, max"),
        (zoo.beam_search, {"prefix": np.array([[4], [5]])}, "a row for each source"),
        (zoo.greedy_search, {"model": "model"}, "`model` must be a zoo.Seq2Seq. Received"),
        (zoo.beam_search, {"source": np.zeros((0, 3))}, "of at least one row"),
        (zoo.greedy_search, {"source": ["a text"]}, r"`source` must be ids .*=\['a text'\]"),
        (zoo.beam_search, {"source": [[5, 6, 3], [3]]}, "padded to one length"),
        (
            zoo.sample,
            {"source": [[5, 60, 3]]},
            r"`source` must be ids in \[0, 60\)\. Received: source=60",
        ),
        (zoo.greedy_search, {"prefix": [[-1]]}, r"`prefix` must be ids in \[0, 60\)"),
        (zoo.beam_search, {"num_beams": 0}, "`num_beams` must be a positive int"),
        (zoo.beam_search, {"num_hypotheses": 5}, "`num_hypotheses` must be at most num_beams=4"),
        (zoo.beam_search, {"length_penalty": "1"}, "`length_penalty` must be a finite number"),
        (
            zoo.beam_search,
            {"coverage_penalty": -1},
            "`coverage_penalty` must be a finite, non-negative",
        ),
        (zoo.beam_search, {"coverage_penalty": 0.2}, "0 for a model without attention"),
        (zoo.greedy_search, {"return_attention": True}, "without attention. Received"),
        (zoo.greedy_search, {"prefix": np.array([[4] * 5])}, "at most max_length=4"),
        (zoo.greedy_search, {"prefix": np.array([4])}, r"ids of shape \(batch, prefix_length\)"),
        (zoo.sample, {"temperature": 0}, "`temperature` must be a positive float32 number"),
        (zoo.sample, {"temperature": 1e-40}, "`temperature` must be a positive float32 number"),
        (zoo.sample, {"top_k": 61}, r"`top_k` must be an integer in \[1, vocabulary_size=60\]"),
        (zoo.sample, {"top_p": 1.5}, r"`top_p` must be a number in \(0, 1\]"),
        (zoo.sample, {"seed": 1, "draws": 2}, "`seed` must be None where `draws` are given"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_wrong_argument_is_named(small, search, options, message):
    with pytest.raises(ValueError, match=message):
        search(
            **{
                "model": small,
                "source": np.array([[5, 3]]),
                "max_length": 4,
                **options,
            }
        )


@pytest.mark.parametrize("search", [zoo.greedy_search, zoo.beam_search, zoo.sample])
def test_no_search_goes_beyond_learned_positions(search):
    model = small_model("transformer-learned-gelu", max_positions=8)
    search(model, np.array([[5, 3]]), 7)
    with pytest.raises(ValueError, match="`max_length` must be less than the model's max_posi"):
        search(model, np.array([[5, 3]]), 8)


def test_attention_is_there_up_to_the_last_learned_position():
    model = endless(model_of("transformer-learned-gelu", max_positions=16))
    _, _, weights = zoo.greedy_search(model, np.array([[5, 3]]), 15, return_attention=True)
    assert weights.shape == (1, 16, 2)


def test_numpys_numbers_are_numbers(small):
    source = np.array([[5, 3]])
    tokens, *_ = zoo.beam_search(small, source, np.int64(3), length_penalty=np.float32(1))
    assert tokens.shape[:2] == (1, 1)
    zoo.sample(small, source, np.int32(3), temperature=np.float64(0.5), top_k=np.int64(4))


@pytest.mark.parametrize("search", [zoo.greedy_search, zoo.beam_search, zoo.sample, zoo.score])
def test_a_source_of_another_rank_is_named(small, search):
    message = r"`source` must be ids of shape \(batch, source_length\).* Received: .* shape \(2,\)"
    with pytest.raises(ValueError, match=message):
        search(small, np.array([5, 3]), 4)
