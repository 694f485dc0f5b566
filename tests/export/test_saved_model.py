"""The SavedModel: text in, text out, without seq2lite at the other end."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from random_models import random_ids
from seq2lite import export, zoo
from seq2lite.export.runtime.text import decode, pad, source_ids
from seq2lite.export.runtime.tokenizer import Tokenizers
from seq2lite.export.runtime.unicode import STRIPPED
from seq2lite.export.verification.reference import keras_runner

LIMITS = {"max_source_length": 40, "max_target_length": 12}
# What neither of the two ways may need.
ALONE = """
import json, sys
for name in ("seq2lite", "sentencepiece", "ai_edge_litert", "sacrebleu"):
    sys.modules[name] = None  # an import of it fails
import numpy as np
import tensorflow as tf
import tensorflow_text
path, inputs = sys.argv[1], json.load(sys.stdin)
"""
PYTHON = """
signatures = tf.saved_model.load(path).signatures
def call(signature, **tensors):
    return {k: v.numpy() for k, v in signatures[signature](**tensors).items()}
"""
# TensorFlow Serving's LoadSavedModel: the graph of the tag "serve" in a session, its signatures'
# tensors fed and fetched by name.
SERVING = """
session = tf.compat.v1.Session(graph=tf.Graph())
graph = tf.compat.v1.saved_model.load(session, ["serve"], path)
def call(signature, **tensors):
    signature = graph.signature_def[signature]
    feeds = {signature.inputs[k].name: np.array(v) for k, v in tensors.items()}
    return session.run({k: v.name for k, v in signature.outputs.items()}, feeds)
"""
ANSWER = """
texts = [
    [t.decode() for t in call("serving_default", text=np.array(batch, object))["text"]] for batch in inputs["texts"]
]
ids = [
    {k: v.tolist() for k, v in call("generate", source=np.array(source, np.int32)).items()}
    for source in inputs["sources"]
]
print(json.dumps({"texts": texts, "ids": ids}))
"""


@pytest.fixture(scope="module")
def saved(tiny_model, tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "1"
    export.to_saved_model(tiny_model, path, tokenizer, **LIMITS)
    return path


@pytest.mark.filterwarnings("ignore:a text of")
def test_another_process_serves_the_answers_of_keras(saved, tiny_model, tokenizer, pairs):
    """Text and ids, at any batch, with tensorflow and tensorflow-text alone, in both ways."""
    texts = [source for source, _ in pairs[:8]]
    texts += ["", " \u3000", "파일", "🙂", "menu " * 60]
    rng = np.random.default_rng(0)
    sources = [
        random_ids(rng, lengths, vocabulary_size=tokenizer.vocabulary_size)
        for lengths in ([5], [9, 3, 7], [2, 2])
    ]
    inputs = {"texts": [texts, texts[:1]], "sources": [source.tolist() for source in sources]}
    done = subprocess.run(
        [sys.executable, "-c", ALONE + PYTHON + ANSWER + SERVING + ANSWER, saved],
        input=json.dumps(inputs),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    python, serving = map(json.loads, done.stdout.splitlines()[-2:])
    expected = keras_runner(tiny_model, Tokenizers.of(tokenizer), LIMITS).generate(texts)
    assert python == serving
    assert python["texts"] == [expected, expected[:1]]
    assert len(set(expected)) > 4
    for source, found in zip(sources, python["ids"], strict=True):
        tokens, lengths = zoo.greedy_search(tiny_model, source, LIMITS["max_target_length"])
        assert found == {"tokens": tokens.numpy().tolist(), "length": lengths.numpy().tolist()}


def test_text_is_cleaned_as_in_python(saved):
    """The runtime asks `clean`, the graph a regular expression: the same characters."""
    from seq2lite.export.saved_model import _BLANK

    characters = [chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000]
    blank = tf.strings.regex_full_match(tf.constant(characters), _BLANK).numpy()
    assert {c for c, b in zip(characters, blank, strict=True) if b} == {*STRIPPED}
    served = tf.saved_model.load(saved).signatures["serving_default"]
    edges = ["\ufeff", "\ufeff \u3000\n\ufeff", "\xa0\x1c", "\x85 \ufeff\u2028"]
    texts = ["Open File", *(a + "Open File" + b for a in edges for b in edges), *edges]
    first, *others = served(text=tf.constant(texts))["text"].numpy()
    assert first
    assert others == [first] * len(edges) ** 2 + [b""] * len(edges)


def test_text_is_generated_by_the_search_of_the_export(tiny_model, tokenizer, pairs, tmp_path):
    options = {"num_beams": 3, "length_penalty": 1.5}
    export.to_saved_model(tiny_model, tmp_path / "1", tokenizer, **LIMITS, **options)
    served = tf.saved_model.load(tmp_path / "1").signatures["serving_default"]
    texts = [source for source, _ in pairs[:8]]
    found = [text.decode() for text in served(text=tf.constant(texts))["text"].numpy()]
    source = source_ids(tokenizer, texts, LIMITS["max_source_length"])
    source = pad(source, tokenizer.pad_id)
    limit = LIMITS["max_target_length"]
    tokens, lengths, _ = zoo.beam_search(tiny_model, source, limit, **options)
    assert found == decode(tokenizer, tokens.numpy()[:, 0], lengths.numpy()[:, 0])
    greedy = decode(tokenizer, *map(np.array, zoo.greedy_search(tiny_model, source, limit)))
    assert found != greedy


def test_a_folder_that_is_no_saved_model_is_left_alone(tiny_model, tokenizer, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="`path` must be free, or a SavedModel"):
        export.to_saved_model(tiny_model, tmp_path, tokenizer)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
