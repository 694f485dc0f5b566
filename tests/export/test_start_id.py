"""Models whose targets start with the padding: their bundles, and tokenizers read from files."""

import json

import pytest

from changed_bundles import changed_copy
from random_models import randomize
from seq2lite import export, zoo
from seq2lite.export.runtime.golden import check_golden
from seq2lite.export.runtime.tokenizer import Tokenizers
from seq2lite.export.verification.reference import keras_runner
from seq2lite.recipes import distill

SIZES = {"num_layers": 1, "embedding_dim": 16, "hidden_dim": 32}
LIMITS = {"max_source_length": 30, "max_target_length": 8}


@pytest.fixture(scope="module")
def padding_starts(tokenizer):
    return export.Tokenizer(tokenizer.model_bytes, start_id=tokenizer.pad_id)


@pytest.fixture(scope="module")
def model(padding_starts):
    return randomize(zoo.rnn_seq2seq(**SIZES, **padding_starts.vocabulary), scale=2.0)


@pytest.mark.long
def test_a_bundle_starts_targets_as_its_model_does(model, padding_starts, pairs, tmp_path):
    path = tmp_path / "my-model"
    options = {"quantization": "float32", "num_beams": 1, "measure": False, "text": False}
    export.to_bundle(model, path, padding_starts, pairs[:8], **options, **LIMITS)
    assert json.loads((path / "bundle.json").read_text("utf-8"))["start_id"] == 0
    runner = export.load(path)
    assert runner.tokenizers.target.start_id == 0
    texts = [source for source, _ in pairs[8:16]]
    expected = keras_runner(model, Tokenizers.of(padding_starts), LIMITS).generate(texts)
    assert runner.generate(texts) == expected and len(set(expected)) > 2
    assert runner.sample(texts, top_k=1) == expected
    assert check_golden(path).startswith("8 golden sentences: ids equal, tokens of 8 equal")


def test_the_tokenizer_of_a_bundle_starts_targets_as_its_description_states(bundle, tmp_path):
    changed_copy(bundle, tmp_path, entries={"start_id": 0})
    assert export.load(tmp_path).tokenizers.target.vocabulary["start_id"] == 0


def test_the_tokenizer_of_a_teacher_starts_targets_as_its_model_does(
    model, padding_starts, tmp_path
):
    model.save(tmp_path / "model.keras")
    (tmp_path / "tokenizer.model").write_bytes(padding_starts.model_bytes)
    teacher = distill.load_teacher(distill.Config.of(teacher=str(tmp_path)))
    assert teacher.tokenizer.vocabulary == padding_starts.vocabulary
