"""Sampling, scores, and the attention that searches return."""

import keras
import numpy as np
import pytest

from random_models import FEW_CASES, mostly_long, random_ids
from search_models import END, PAD, START, endless, model_of, rows
from seq2lite import zoo


class Table(zoo.Seq2Seq):
    """A model with the same distribution at every step."""

    logits = np.array([-9, -9, -9, -9, 2, 1.5, 1, 0, -0.5, -1], "float32")

    def __init__(self):
        super().__init__(vocabulary_size=10, pad_id=0, start_id=2, end_id=3)

    def encode(self, source):
        return {"none": keras.ops.zeros((source.shape[0], 1))}

    def step(self, token, state):
        return keras.ops.tile(self.logits[None], (token.shape[0], 1)), state


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.6}, {"top_k": 3}, {"top_p": 0.8}, {"top_k": 5, "top_p": 0.9}],
    ids=str,
)
def test_samples_are_as_frequent_as_they_are_likely(options):
    logits = Table.logits.astype(np.float64) / options.get("temperature", 1.0)
    order = np.argsort(-logits)[: options.get("top_k", 10)]
    likely = np.exp(logits[order])
    likely /= likely.sum()
    among = np.cumsum(likely) - likely < options.get("top_p", 1.1)
    expected = np.zeros(10)
    expected[order[among]] = likely[among] / likely[among].sum()
    number = 40_000
    tokens, _ = zoo.sample(Table(), np.full((number, 1), 5), 1, seed=7, **options)
    found = np.bincount(np.array(tokens).ravel(), minlength=10) / number
    found[END] += (np.array(tokens).ravel() == PAD).mean()  # an end leaves padding
    found[PAD] = expected[PAD]
    deviation = np.sqrt(expected * (1 - expected) / number)
    assert (np.abs(found - expected) <= 4.5 * deviation + 2e-4).all()
    assert not found[4:][expected[4:] == 0].any()


def test_a_seed_gives_the_same_samples_and_another_one_others(source):
    model = endless(model_of("gru-bahdanau"))
    one, again, other = (np.array(zoo.sample(model, source, 9, seed=s)[0]) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    unseeded = [np.array(zoo.sample(model, source, 9)[0]) for _ in range(2)]
    assert (unseeded[0] != unseeded[1]).any()


@pytest.mark.parametrize(
    "options", [{"top_k": 1}, {"top_p": 1e-6}, {"top_k": 3, "draws": np.zeros((3, 9))}], ids=str
)
@pytest.mark.parametrize("case", mostly_long(FEW_CASES, ["gru-cho"]))
def test_top_k_of_one_is_greedy_search(case, source, options):
    model = model_of(case)
    assert rows(*zoo.sample(model, source, 9, **options)) == rows(
        *zoo.greedy_search(model, source, 9)
    )


def test_a_score_is_the_sum_of_log_probabilities_and_padding_adds_none(model, source):
    rng = np.random.default_rng(4)
    target = random_ids(rng, [5, 3, 1])
    total, each = (np.array(x) for x in zoo.score(model, source, target))
    given = np.concatenate([np.full((3, 1), START), target[:, :-1]], axis=1)
    logits = np.array(model({"source": source, "target": given}), np.float64)
    expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = np.take_along_axis(expected, target[..., None], axis=2)[..., 0] * (target != PAD)
    np.testing.assert_allclose(each, expected, atol=1e-5)
    np.testing.assert_allclose(total, expected.sum(axis=1), atol=1e-5)
    wider, _ = zoo.score(model, np.pad(source, ((0, 0), (0, 2))), np.pad(target, ((0, 0), (0, 4))))
    np.testing.assert_allclose(wider, total, atol=1e-5)


@pytest.mark.parametrize("start_id", [START, PAD, END])
def test_a_target_with_the_start_in_front_is_refused(start_id):
    """A start id that also ends or pads may stand alone: an empty target."""
    model, source = model_of("gru-None-bi", start_id=start_id), np.array([[5, 3]])
    target = np.array([[start_id, 7, END]])
    message = f"`target` must be without start_id={start_id} in front.* Received: target=.*7"
    with pytest.raises(ValueError, match=message):
        zoo.score(model, source, target)
    with pytest.raises(ValueError, match=message):
        zoo.score(model, source, keras.ops.convert_to_tensor(target))
    with pytest.raises(ValueError, match="`prefix` must be without start_id"):
        zoo.greedy_search(model, source, 4, prefix=target)
    zoo.score(model, source, target[:, 1:])
    zoo.score(model, source, np.array([[END, PAD]]))


def test_a_search_gives_the_attention_of_each_token_and_of_the_end(source):
    model = model_of("lstm-luong")
    tokens, _, weights = zoo.greedy_search(model, source, 6, return_attention=True)
    target = np.concatenate([np.full((3, 1), START), np.array(tokens)], axis=1)
    inputs = {"source": source, "target": target}
    np.testing.assert_array_equal(weights, model(inputs, return_attention=True)[1])
    tokens, _, _, weights = zoo.beam_search(
        model, source, 6, num_hypotheses=2, return_attention=True
    )
    assert weights.shape == (3, 2, tokens.shape[2] + 1, 7)
    target = np.concatenate([np.full((3, 1), START), np.array(tokens)[:, 1]], axis=1)
    expected = model({"source": source, "target": target}, return_attention=True)[1]
    np.testing.assert_allclose(weights[:, 1], expected, atol=1e-6)
