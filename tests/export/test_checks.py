"""Arguments of the export functions: as they travel on, and errors that need no conversion."""

import json

import numpy as np
import pytest

from random_models import randomize, small_model
from seq2lite import export, zoo
from seq2lite.export import checks
from seq2lite.export.quantization import modes
from seq2lite.export.runtime.tokenizer import Tokenizers
from seq2lite.export.verification.reference import KerasReference
from seq2lite.recipes.data.tokenizers import learn_tokenizer
from seq2lite.recipes.training.artifacts import require_exported
from seq2lite.zoo.rnn.model import RNNSeq2Seq
from seq2lite.zoo.text import check_tokenizer, length_limits


def test_numpy_numbers_become_those_of_python():
    limits = length_limits(np.int64(40), np.int32(12))
    assert json.loads(json.dumps(limits)) == {"max_source_length": 40, "max_target_length": 12}
    assert json.dumps(length_limits(np.int16(40)))
    assert json.dumps(checks.check_beams(np.int64(4), np.float32(0.5))) == "[4, 0.5]"
    assert json.dumps(checks.check_batch(np.int64(2), "float32_static")) == "2"


def test_the_advice_suits_two_tokenizers(pairs, tokenizer):
    model = small_model("gru-None-bi")
    with pytest.raises(ValueError, match=r"build the model with \*\*tokenizer\.vocabulary$"):
        check_tokenizer(model, tokenizer)
    pair = learn_tokenizer([source for source, _ in pairs], 400), tokenizer
    with pytest.raises(ValueError, match=r"target\.vocabulary, source_vocabulary_size=source\."):
        check_tokenizer(model, pair)


def test_a_runner_accepts_one_tokenizer(tokenizer):
    runner = export.Runner({"max_source_length": 9}, tokenizer, None)
    assert runner.source_ids(["Open"]) == [[*tokenizer.encode(["Open"])[0], tokenizer.end_id]]


def test_sources_are_padded_as_the_model_reads_them(pairs, tokenizer):
    class OtherPadding(RNNSeq2Seq):
        @property
        def source_spec(self):
            return zoo.SourceSpec("int32", padding=1)

    sizes = {"num_layers": 1, "embedding_dim": 16, "hidden_dim": 16}
    config = zoo.rnn_seq2seq(**sizes, **tokenizer.vocabulary).get_config()
    model = randomize(OtherPadding.from_config(config), scale=2.0)
    limits = {"max_source_length": 30, "max_target_length": 6}
    reference = KerasReference(model, Tokenizers.of(tokenizer), pairs[:6], limits)
    assert reference.padding == reference.source[-1, -1] == 1 and 0 not in reference.source
    assert reference.runner.generate(reference.sources[:6]) == reference.texts[1]


@pytest.mark.parametrize("is_static", [False, True])
def test_a_model_that_no_file_of_a_mode_can_hold_is_refused(is_static, monkeypatch):
    """Before work begins, with the modes that can. Weights of the test are counted, not made."""
    model = small_model("transformer")
    monkeypatch.setattr(model, "count_params", lambda: 566_000_000)
    names = [name for name, mode in modes.MODES.items() if mode.is_static == is_static]
    fitting = [name for name in names if not name.startswith("float32")]
    checks.check_weights(model, fitting)
    listed = ", ".join(rf"{name} \([\d.]+ GB\)" for name in fitting)
    with pytest.raises(
        ValueError, match=rf"at most 2\.00 GB.*for this model {listed}\. Received: .*2\.26 GB"
    ):
        checks.check_weights(model, names)


def test_the_size_of_texts_is_enough_for_each_text_that_the_model_reads_whole(tokenizer):
    def size(*texts, max_length=10_000):
        return checks.text_bytes(tokenizer, texts, max_length)

    assert size() == size("Open File", "x" * 512) == 512
    assert size("Open File", "가" * 171) == 768  # 513 bytes
    assert size("a" * 1024) == 1024 and size("a" * 1025) == 1280
    assert size("a " * 40_000, max_length=10**6) == checks.MAX_LENGTH
    long = "Open File " * 100
    num_ids = len(tokenizer.encode([long])[0])  # and the end
    assert size(long, max_length=num_ids + 1) == 1024 and size(long, max_length=num_ids) == 512


def test_a_run_of_an_earlier_version_is_refused_with_two_ways_to_export_it(tmp_path):
    for name in ("model.keras", "tokenizer.model"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"earlier version.*`export.to_bundle`.*--overwrite"):
        require_exported(tmp_path)
