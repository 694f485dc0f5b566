"""Source and target with a tokenizer each, in bundles and SavedModels."""

import json

import pytest
import tensorflow as tf

from random_models import randomize
from seq2lite import export, zoo
from seq2lite.export.runtime.golden import check_golden
from seq2lite.export.runtime.interpreter import open_interpreter
from seq2lite.export.runtime.tokenizer import Tokenizers
from seq2lite.export.verification.reference import keras_runner
from seq2lite.recipes.data.tokenizers import learn_tokenizer
from text_calls import translated

LIMITS = {"max_source_length": 30, "max_target_length": 8}


@pytest.fixture(scope="module")
def two(pairs, tokenizer):
    """Tokenizers of the source and of the target, with different vocabularies."""
    return learn_tokenizer([source for source, _ in pairs], 400), tokenizer


@pytest.fixture(scope="module")
def model(two):
    sizes = {"num_layers": 1, "embedding_dim": 16, "hidden_dim": 32, "embeddings": "separate"}
    vocabulary = Tokenizers.of(two).vocabulary
    return randomize(zoo.rnn_seq2seq(**sizes, **vocabulary), scale=2.0)


@pytest.mark.parametrize("text", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_bundle_contains_both_and_its_file_uses_both(model, two, pairs, tmp_path, text):
    path = tmp_path / "my-model"
    options = {"quantization": "float32", "num_beams": 1, "measure": False, "text": text}
    export.to_bundle(model, path, two, pairs[:8], **options, **LIMITS)
    for name, side in zip(("tokenizer.model", "target_tokenizer.model"), two, strict=True):
        assert (path / name).read_bytes() == side.model_bytes
    description = json.loads((path / "bundle.json").read_text("utf-8"))
    sizes = description["source_vocabulary_size"], description["vocabulary_size"]
    assert sizes == (400, 1000)
    texts = [source for source, _ in pairs[8:16]]
    expected = keras_runner(model, Tokenizers.of(two), LIMITS).generate(texts)
    assert export.load(path).generate(texts) == expected and len(set(expected)) > 2
    assert check_golden(path).startswith("8 golden sentences: ids equal, tokens of 8 equal")
    if not text:
        return
    translate = open_interpreter((path / "model.tflite").read_bytes(), 1, "").get_signature_runner(
        "translate"
    )
    for source, target in zip(texts, expected, strict=True):
        assert translated(translate, source) == target


def test_a_saved_model_uses_both(model, two, pairs, tmp_path):
    export.to_saved_model(model, tmp_path / "1", two, **LIMITS)
    served = tf.saved_model.load(tmp_path / "1").signatures["serving_default"]
    texts = [source for source, _ in pairs[8:16]]
    found = [text.decode() for text in served(text=tf.constant(texts))["text"].numpy()]
    assert found == keras_runner(model, Tokenizers.of(two), LIMITS).generate(texts)


@pytest.mark.parametrize("order", [slice(None, None, -1), slice(1)])
def test_other_tokenizers_are_refused(model, two, pairs, tmp_path, order):
    with pytest.raises(ValueError, match="`tokenizer` must be"):
        export.to_bundle(model, tmp_path / "my-model", two[order], pairs[:2])
    assert not list(tmp_path.iterdir())
