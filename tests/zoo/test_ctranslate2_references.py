"""Complete Transformers compared with CTranslate2 in float32, with the same weights.

CTranslate2 supports all options of `zoo.transformer` except SSRUs. `test_numpy_transformer_references.py`
tests those.
"""

import keras
import numpy as np
import pytest

import ctranslate2_peer
from random_models import TRANSFORMERS, VOCABULARY, mostly_long, random_ids, randomize
from seq2lite import zoo

CASES = {name: case for name, case in TRANSFORMERS.items() if case.get("decoder") != "ssru"}
# Combinations of options that no other case has.
CASES["transformer-post-norm-rms-gelu-relative-grouped-separate"] = {
    "norm_first": False,
    "norm": "rms",
    "activation": "gelu",
    "positions": "relative",
    "num_heads": 4,
    "num_key_heads": 2,
    "embeddings": "separate",
    "source_vocabulary_size": 70,
}
CASES["transformer-post-norm-swiglu-rotary-multi-query"] = {
    "norm_first": False,
    "activation": "swiglu",
    "positions": "rotary",
    "num_key_heads": 1,
    "num_layers": (2, 3),
}


# The others differ from these by options that test_numpy_transformer_references.py tries too.
SHORT = (
    "transformer",
    "transformer-learned-gelu",
    "transformer-relative",
    "transformer-post-norm-rms-gelu-relative-grouped-separate",
    "transformer-post-norm-swiglu-rotary-multi-query",
)


@pytest.fixture(params=mostly_long(CASES, SHORT), scope="module")
def model(request):
    sizes = {"num_layers": 2, "model_dim": 16, "num_heads": 2, "feed_forward_dim": 24}
    model = zoo.transformer(vocabulary_size=VOCABULARY, **{**sizes, **CASES[request.param]})
    randomize(model)
    bias = model.output_projection.bias.numpy()
    bias[[model.pad_id, 1, model.start_id]] = -1e4  # Their CTranslate2 tokens are not numbers.
    bias[model.end_id] += 0.5  # Some outputs then end.
    model.output_projection.bias.assign(bias)
    return model


@pytest.fixture(scope="module")
def translator(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ctranslate2")
    ctranslate2_peer.write_model(model, folder)
    return ctranslate2_peer.open_translator(folder)


def tokens(ids):
    return [ctranslate2_peer.tokens(row[row != 0]) for row in ids]


def test_log_probabilities_of_given_targets_equal_ctranslate2(model, translator):
    rng = np.random.default_rng(1)
    # Long enough that relative positions share a bucket.
    source = random_ids(rng, [30, 7, 1])
    target = random_ids(rng, [25, 9, 2])
    inputs = np.pad(target, ((0, 0), (1, 0)))
    inputs[:, 0] = model.start_id
    logits = model({"source": source, "target": inputs})
    log_probabilities = keras.ops.convert_to_numpy(keras.ops.log_softmax(logits))
    results = translator.score_batch(tokens(source), tokens(target))
    for row, ids, result in zip(log_probabilities, target, results, strict=True):
        ids = [*ids[ids != 0], model.end_id]
        assert len(result.log_probs) == len(ids)
        actual = row[np.arange(len(ids)), ids]
        np.testing.assert_allclose(actual, result.log_probs, rtol=0, atol=5e-6)


def test_greedy_tokens_equal_ctranslate2(model, translator):
    source = random_ids(np.random.default_rng(2), [9, 5, 3, 1, 7, 7, 2, 4, 8, 8, 6, 3])
    found, lengths = (np.array(x) for x in zoo.greedy_search(model, source, max_length=12))
    assert len({tuple(row) for row in found}) > 2  # The outputs depend on the source.
    results = translator.translate_batch(
        tokens(source), beam_size=1, max_decoding_length=12, min_decoding_length=0
    )
    assert [result.hypotheses[0] for result in results] == [
        [str(i) for i in row[:length]] for row, length in zip(found, lengths, strict=True)
    ]


@pytest.mark.parametrize("num_beams", [pytest.param(2, marks=pytest.mark.long), 5])
def test_the_best_beams_equal_ctranslate2(model, translator, num_beams):
    """Without a length penalty, because both searches then stop exactly at the optimum."""
    source = random_ids(np.random.default_rng(3), [9, 5, 3, 1, 7, 7, 2, 4])
    found, lengths, scores = (
        np.array(x)
        for x in zoo.beam_search(model, source, 12, num_beams=num_beams, length_penalty=0.0)
    )
    results = translator.translate_batch(
        tokens(source),
        beam_size=num_beams,
        length_penalty=0,
        max_decoding_length=12,
        min_decoding_length=0,
        return_scores=True,
    )
    for row, length, score, result in zip(found, lengths, scores, results, strict=True):
        expected = [int(token) for token in result.hypotheses[0]]
        assert row[0, : length[0]].tolist() == expected
        np.testing.assert_allclose(score[0], result.scores[0], atol=2e-5)
