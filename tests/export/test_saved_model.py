"""The SavedModel: text in, text out, without seq2lite at the other end."""

import json
import subprocess
import sys

import pytest
import tensorflow as tf

from seq2lite import export
from seq2lite.export.parity import keras_runner

LIMITS = {"max_source_length": 40, "max_target_length": 12}
SERVE = """
import json, sys
import tensorflow as tf
import tensorflow_text
served = tf.saved_model.load(sys.argv[1])
texts = json.load(sys.stdin)
result = served.signatures["serving_default"](text=tf.constant(texts))["text"]
assert "seq2lite" not in sys.modules and "keras" not in str(type(served))
print(json.dumps([text.decode() for text in result.numpy()]))
"""


@pytest.fixture(scope="module")
def saved(tiny_model, tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "1"
    export.to_saved_model(tiny_model, path, tokenizer, **LIMITS)
    return path


@pytest.mark.filterwarnings("ignore:a text of")
def test_another_process_serves_what_keras_answers(saved, tiny_model, tokenizer, pairs):
    texts = [source for source, _ in pairs[:8]]
    texts += ["", " \u3000", "파일", "🙂", "menu " * 60]
    done = subprocess.run(
        [sys.executable, "-c", SERVE, saved],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = keras_runner(tiny_model, tokenizer, LIMITS).generate(texts)
    assert json.loads(done.stdout.splitlines()[-1]) == expected
    assert len(set(expected)) > 4


def test_blank_is_what_python_calls_blank(saved):
    """The runtime asks `str.strip`, the graph a regular expression: the same characters."""
    from seq2lite.export.saved_model import _BLANK

    characters = [chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000]
    blank = tf.strings.regex_full_match(tf.constant(characters), _BLANK).numpy()
    assert [c for c, b in zip(characters, blank, strict=True) if b] == [
        c for c in characters if not c.strip()
    ]


def test_a_folder_that_is_no_saved_model_is_left_alone(tiny_model, tokenizer, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="`path` must be free, or a SavedModel"):
        export.to_saved_model(tiny_model, tmp_path, tokenizer)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
