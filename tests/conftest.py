"""Fixtures of several test files: data, a tokenizer, small models and a bundle, each made once."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

from random_models import randomize


@pytest.fixture(scope="session", autouse=True)
def in_process():
    """Make `export` work in this process. Each of its subprocesses would import TensorFlow."""
    from seq2lite.export.system import isolation

    with isolation.in_process():
        yield


@pytest.fixture(scope="session")
def pairs():
    from seq2lite.recipes.data.pairs import read_pairs
    from seq2lite.recipes.data.samples import VSCODE_VALID

    return read_pairs(VSCODE_VALID)


@pytest.fixture(scope="session")
def tokenizer(pairs):
    from seq2lite.recipes.data.tokenizers import learn_tokenizer

    return learn_tokenizer([text for pair in pairs for text in pair], 1000)


@pytest.fixture(scope="session")
def tiny_model(tokenizer):
    """A Transformer with random weights and the tokenizer's vocabulary."""
    from seq2lite import zoo

    return randomize(
        zoo.transformer(
            vocabulary_size=tokenizer.vocabulary_size,
            num_layers=1,
            model_dim=32,
            num_heads=2,
            feed_forward_dim=64,
        )
    )


@pytest.fixture(scope="session")
def bundle(tiny_model, tokenizer, pairs, tmp_path_factory):
    """A float32 bundle of `tiny_model`. Tests must not change it."""
    from seq2lite import export

    path = tmp_path_factory.mktemp("bundle") / "my-model"
    export.to_bundle(
        tiny_model,
        path,
        tokenizer,
        pairs[:24],
        quantization="float32",
        max_source_length=40,
        max_target_length=12,
        languages=("en", "ko"),
        num_beams=3,
    )
    return path


@pytest.fixture(
    scope="session",
    params=["transformer_tiny", pytest.param("rnn_tiny", marks=pytest.mark.long)],
)
def trained(request, pairs, tmp_path_factory):
    """The translation recipe of a family on a few pairs in float32: its Config and its Result."""
    from seq2lite.recipes import translate
    from seq2lite.recipes.evaluation.decoding import Search
    from seq2lite.recipes.training.options import Training

    folder = tmp_path_factory.mktemp("trained")
    (folder / "train.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs), "utf-8")
    (folder / "valid.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs[:24]), "utf-8")
    config = translate.Config.of(
        train=(str(folder / "train.tsv"),),
        valid=(str(folder / "valid.tsv"),),
        output=str(folder / "run"),
        preset=request.param,
        vocabulary_size=1000,
        max_length=48,
        dropout=0.0,  # The model memorizes the few pairs, so that its outputs differ.
        quantizations=("float32",),
        training=Training(epochs=7, batch_tokens=256, score_pairs=0),
        search=Search(num_beams=2),
    )
    return config, translate.train(config)
