"""Text in, text out: a model with a tokenizer, and how both travel."""

import pickle

import keras
import numpy as np
import pytest

from random_models import randomize
from seq2lite import export, zoo
from seq2lite.export.conversion.precision import float32_twin
from seq2lite.export.runtime.text import pad, source_ids
from seq2lite.recipes.data.tokenizers import learn_tokenizer

SETTINGS = {"max_source_length": 20, "max_target_length": 6, "num_beams": 3, "length_penalty": 0.5}
SIZES = {
    "transformer_tiny": {"num_layers": 1, "model_dim": 16, "num_heads": 2, "feed_forward_dim": 24},
    "rnn_tiny": {"num_layers": 1, "embedding_dim": 16, "hidden_dim": 16},
}
TEXTS = ["Open File", "", "Close the window", " \ufeff"]


def model_of(preset, vocabulary):
    return randomize(zoo.build(preset, **SIZES[preset], **vocabulary), scale=2.0)


@pytest.fixture(scope="module", params=SIZES)
def model(request, tokenizer):
    model = model_of(request.param, tokenizer.vocabulary)
    model.attach_tokenizer(tokenizer, **SETTINGS)
    return model


def test_generate_is_the_search_over_the_ids_of_the_texts(model, tokenizer):
    texts = [text for text in TEXTS if text.strip("\ufeff ")]
    source = pad(source_ids(tokenizer, texts, 20), 0)
    tokens, lengths, scores = zoo.beam_search(
        model, source, 6, num_beams=3, num_hypotheses=3, length_penalty=0.5
    )
    rows = zip(np.array(tokens[:, 0]), np.array(lengths[:, 0]), strict=True)
    expected = tokenizer.decode([row[:length] for row, length in rows])
    assert model.generate(TEXTS) == [expected[0], "", expected[1], ""]
    best = model.runner.generate_beam(texts)
    assert [targets[0][0] for targets in best] == expected
    np.testing.assert_allclose([t[0][1] for t in best], np.array(scores)[:, 0], rtol=1e-5)
    tokens, lengths = zoo.greedy_search(model, source, 4)
    rows = zip(np.array(tokens), np.array(lengths), strict=True)
    expected = tokenizer.decode([row[:length] for row, length in rows])
    assert model.generate(texts, max_length=4, num_beams=1) == expected


def test_other_searches_of_a_runner_work_over_keras(model):
    runner = model.runner
    best, score = runner.generate_beam(["Open File"], num_beams=2)[0][0]
    assert runner.generate(["Open File"], num_beams=2) == [best] and score < 0
    assert runner.sample(["Open File"] * 2, seed=1) == runner.sample(["Open File"] * 2, seed=1)


def test_generate_follows_the_weights(model):
    before = model.generate(["Open File"])
    weights = model.get_weights()
    model.set_weights([-weight for weight in weights])
    changed = model.generate(["Open File"])
    model.set_weights(weights)
    assert model.generate(["Open File"]) == before != changed


def test_tokenizer_and_settings_travel_with_the_model(model, tmp_path):
    model.save(tmp_path / "model.keras")
    copies = [
        keras.saving.load_model(tmp_path / "model.keras"),
        pickle.loads(pickle.dumps(model)),
        float32_twin(model),
        pickle.loads(pickle.dumps(model.runner)).engine.model,
    ]
    for copy in copies:
        assert {**copy.text.limits, **copy.text.search} == SETTINGS
        assert copy.text.tokenizers.files == model.text.tokenizers.files
        assert copy.generate(TEXTS) == model.generate(TEXTS)


def test_a_model_without_a_tokenizer_stays_one(tokenizer, tmp_path):
    model = model_of("rnn_tiny", tokenizer.vocabulary)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.text is None
    with pytest.raises(ValueError, match=r"must have a tokenizer .*model\.attach_tokenizer\("):
        loaded.generate(["Open File"])


def test_each_side_may_have_a_tokenizer_and_targets_may_start_with_padding(
    pairs, tokenizer, tmp_path
):
    source = learn_tokenizer([source for source, _ in pairs], 400)
    target = export.Tokenizer(tokenizer.model_bytes, start_id=0)
    vocabulary = {**target.vocabulary, "source_vocabulary_size": source.vocabulary_size}
    model = model_of("rnn_tiny", {**vocabulary, "embeddings": "separate"})
    model.attach_tokenizer((source, target), **SETTINGS)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.text.tokenizers.source.model_bytes == source.model_bytes
    assert loaded.text.tokenizers.target.start_id == 0
    assert loaded.generate(TEXTS) == model.generate(TEXTS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_source_length": 1}, "`max_source_length` must be an integer of at least 2"),
        ({"num_beams": 0}, "`num_beams` must be a positive int"),
        ({"length_penalty": float("nan")}, "`length_penalty` must be a finite number"),
    ],
)
def test_wrong_settings_are_refused(model, tokenizer, wrong, message):
    with pytest.raises(ValueError, match=message):
        model.attach_tokenizer(tokenizer, **wrong)


def test_a_tokenizer_of_another_model_is_refused(tokenizer):
    model = zoo.build("rnn_tiny", vocabulary_size=50)
    with pytest.raises(
        ValueError, match="`tokenizer` must be the one that the model was built for"
    ):
        model.attach_tokenizer(tokenizer)


def test_attaching_again_changes_the_search(model, tokenizer):
    expected = model.generate(["Open File"], num_beams=1)
    try:
        model.attach_tokenizer(tokenizer, **{**SETTINGS, "num_beams": 1})
        assert model.runner.search["num_beams"] == 1
        assert model.generate(["Open File"]) == expected
    finally:
        model.attach_tokenizer(tokenizer, **SETTINGS)


def test_loaded_settings_replace_those_of_the_runner(model, tokenizer, tmp_path):
    model.attach_tokenizer(tokenizer, **{**SETTINGS, "num_beams": 2})
    model.save_assets(tmp_path)
    model.attach_tokenizer(tokenizer, **SETTINGS)
    assert model.runner.search["num_beams"] == SETTINGS["num_beams"]
    model.load_assets(tmp_path)
    assert model.runner.search["num_beams"] == 2
    model.attach_tokenizer(tokenizer, **SETTINGS)


@pytest.mark.long
def test_a_bundle_takes_tokenizer_limits_and_search_from_the_model(model, pairs, tmp_path):
    export.to_bundle(
        model, tmp_path / "b", held_out=pairs[:8], quantization="float32", measure=False
    )
    runner = export.load(tmp_path / "b")
    assert runner.search == {"num_beams": 3, "length_penalty": 0.5}
    assert runner.description["max_source_length"] == 20
    assert runner.description["max_target_length"] == 6
    assert runner.generate(TEXTS) == model.generate(TEXTS)


def test_an_export_without_a_tokenizer_states_how_to_give_one(tokenizer, pairs, tmp_path):
    model = model_of("rnn_tiny", tokenizer.vocabulary)
    with pytest.raises(ValueError, match=r"`tokenizer` must be an export\.Tokenizer"):
        export.to_bundle(model, tmp_path / "b", held_out=pairs[:8])
