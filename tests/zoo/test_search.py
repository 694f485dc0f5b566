"""Searches compared with plain loops, with exhaustive enumeration, and with each other."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from random_models import FEW_CASES, VOCABULARY, random_ids, randomize, small_model
from seq2lite import zoo
from seq2lite.zoo.search.loop import GROWTH

PAD, START, END = 0, 2, 3


def model_of(case):
    """A model of FEW_CASES that ends some sentences early and never generates padding."""
    model = small_model(case)
    bias = model.output_projection.bias.numpy()
    bias[PAD], bias[END] = -1e4, bias[END] + 2
    model.output_projection.bias.assign(bias)
    return model


@pytest.fixture(params=FEW_CASES, scope="module")
def model(request):
    return model_of(request.param)


@pytest.fixture
def source():
    return random_ids(np.random.default_rng(1), [7, 4, 1])


def rows(tokens, lengths):
    return [list(row[:n]) for row, n in zip(np.array(tokens), np.array(lengths), strict=True)]


def endless(model):
    bias = model.output_projection.bias.numpy()
    model.output_projection.bias.assign(np.where(np.arange(VOCABULARY) == END, -1e4, bias))
    return model


# Greedy search


def test_greedy_search_takes_the_most_probable_token_at_each_step(model, source):
    """Compared with a plain teacher-forced loop, eagerly and in a tf.function."""
    expected = []
    for row in source:
        target = [START]
        while len(target) <= 5:
            logits = model({"source": row[None], "target": np.array([target])})
            target.append(int(np.array(logits)[0, -1].argmax()))
            if target[-1] == END:
                break
        expected.append([token for token in target[1:] if token != END])
    traced = tf.function(
        lambda source, limit: zoo.greedy_search(model, source, limit),
        input_signature=[tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((), tf.int32)],
    )
    for tokens, lengths in (zoo.greedy_search(model, source, 5), traced(source, 5)):
        assert rows(tokens, lengths) == expected
        assert tokens.shape[1] == max(1, *map(len, expected))


@pytest.mark.parametrize("case", FEW_CASES)
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


# Beam search


@pytest.fixture(scope="module", params=["rnn", "transformer"])
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


def all_targets(model, source, max_length, length_penalty, coverage_penalty):
    """Enumerates all targets of a source with their scores (Wu et al., equation 14), best first."""
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
    inputs = {"source": np.repeat(source[None], len(targets), axis=0), "target": given}
    logits, weights = (np.array(x, np.float64) for x in model(inputs, return_attention=True))
    logits -= logits.max(-1, keepdims=True)
    log_probability = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    scored = []
    for target, each, paid in zip(targets, log_probability, weights, strict=True):
        total = sum(each[t, token] for t, token in enumerate(target))
        paid = paid[: len(target), source != 0].sum(axis=0)
        coverage = np.log(np.clip(paid, 1e-6, 1)).sum()
        penalty = ((5 + len(target)) / 6) ** length_penalty
        score = total / penalty + coverage_penalty * coverage
        scored.append((score, [token for token in target if token != 2]))
    return sorted(scored, key=lambda pair: -pair[0])


@pytest.mark.parametrize("coverage_penalty", [0.0, 0.3])
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.5, -0.5])
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
        best = all_targets(few_words, source[i], 4, length_penalty, coverage_penalty)[:6]
        np.testing.assert_allclose(scores[i], [score for score, _ in best], atol=2e-5)
        assert rows(tokens[i], lengths[i]) == [target for _, target in best]


@pytest.mark.parametrize("coverage_penalty", [0.0, 0.5])
@pytest.mark.parametrize("length_penalty", [-0.5, 0.0, 1.2])
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


def test_one_beam_is_greedy_search(model, source):
    tokens, lengths = zoo.greedy_search(model, source, 9)
    found, found_lengths, _ = zoo.beam_search(model, source, 9, num_beams=1)
    assert rows(found[:, 0], found_lengths[:, 0]) == rows(tokens, lengths)


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
    tokens, lengths, scores = zoo.beam_search(model, source, 20, **options)
    for i in range(3):
        alone = source[i : i + 1, : (source[i] != PAD).sum()]
        found, found_lengths, found_scores = traced(alone, 20)
        assert rows(found[0], found_lengths[0]) == rows(tokens[i], lengths[i])
        np.testing.assert_allclose(found_scores[0], scores[i], atol=2e-5)


def test_a_beams_score_is_that_of_its_target(model, source):
    tokens, lengths, scores = zoo.beam_search(
        model, source, 9, num_beams=4, num_hypotheses=4, length_penalty=0.8
    )
    scores = np.array(scores)
    assert (np.diff(scores, axis=1) <= 0).all()
    for n in range(4):
        found = rows(tokens[:, n], lengths[:, n])
        targets = [[*words, END] if len(words) < 9 else words for words in found]
        target = np.array([[*row, *[PAD] * (9 - len(row))] for row in targets])
        total, _ = zoo.score(model, source, target)
        penalty = ((5 + np.array([len(row) for row in targets])) / 6) ** 0.8
        np.testing.assert_allclose(scores[:, n], np.array(total) / penalty, rtol=1e-5, atol=1e-5)


def test_where_fewer_targets_exist_the_rest_say_so(few_words):
    """Six ids give six targets of one token."""
    source = np.array([[4, 2]])
    _, lengths, scores = zoo.beam_search(few_words, source, 1, num_beams=8, num_hypotheses=8)
    assert (np.array(scores)[0, :6] > -1e5).all()
    assert (np.array(scores)[0, 6:] <= -1e9).all()
    assert not np.array(lengths)[0, 6:].any()


# Forced prefixes


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


def test_a_beam_with_a_prefix_finds_the_best_target_that_begins_so(few_words):
    source = np.array([[4, 5, 3, 2]])
    expected = next(
        pair for pair in all_targets(few_words, source[0], 4, 0.6, 0.0) if pair[1][:1] == [5]
    )
    tokens, lengths, scores = zoo.beam_search(
        few_words, source, 4, num_beams=81, prefix=np.array([[5]])
    )
    assert rows(tokens[0], lengths[0]) == [expected[1]]
    np.testing.assert_allclose(scores[0, 0], expected[0], atol=2e-5)


# Sampling


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


def test_top_k_of_one_is_greedy_search(model, source):
    tokens, lengths = zoo.greedy_search(model, source, 9)
    for options in ({"top_k": 1}, {"top_p": 1e-6}, {"top_k": 3, "draws": np.zeros((3, 9))}):
        found, found_lengths = zoo.sample(model, source, 9, **options)
        assert rows(found, found_lengths) == rows(tokens, lengths)


# Scores and attention


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


# Error messages


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
        (zoo.beam_search, {"source": np.zeros((0, 3))}, "with at least one row"),
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
def test_a_wrong_argument_is_named(search, options, message):
    with pytest.raises(ValueError, match=message):
        search(
            **{
                "model": small_model("gru-None-bi"),
                "source": np.array([[5, 3]]),
                "max_length": 4,
                **options,
            }
        )


@pytest.mark.parametrize("search", [zoo.greedy_search, zoo.beam_search, zoo.sample])
def test_no_search_goes_beyond_learned_positions(search):
    model = small_model("transformer-learned-gelu")  # of 64
    search(model, np.array([[5, 3]]), 63)
    with pytest.raises(ValueError, match="`max_length` must be less than the model's max_posi"):
        search(model, np.array([[5, 3]]), 64)


def test_attention_is_there_up_to_the_last_learned_position():
    model = endless(model_of("transformer-learned-gelu"))
    _, _, weights = zoo.greedy_search(model, np.array([[5, 3]]), 63, return_attention=True)
    assert weights.shape == (1, 64, 2)


def test_numpys_numbers_are_numbers():
    model, source = small_model("gru-None-bi"), np.array([[5, 3]])
    tokens, *_ = zoo.beam_search(model, source, np.int64(3), length_penalty=np.float32(1))
    assert tokens.shape[:2] == (1, 1)
    zoo.sample(model, source, np.int32(3), temperature=np.float64(0.5), top_k=np.int64(4))


@pytest.mark.parametrize("search", [zoo.greedy_search, zoo.beam_search, zoo.sample, zoo.score])
def test_a_source_of_another_rank_is_named(search):
    message = r"`source` must be ids of shape \(batch, source_length\).* Received: .* shape \(2,\)"
    with pytest.raises(ValueError, match=message):
        search(small_model("gru-None-bi"), np.array([5, 3]), 4)
