"""Fixtures that tests share: small models, a tokenizer, exported files, each made once."""

import functools
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
from filelock import FileLock

# TensorFlow is imported in fixtures: the process that starts the workers does without.

# The files that take longest come first, so that both workers end at the same time. One of the first two
# makes the exported bundle that many files use.
FIRST = ("test_bundle", "test_translate", "test_tflite", "test_contract", "test_recipes")


def pytest_collection_modifyitems(items):
    names = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: names.get(item.path.stem, len(FIRST)))


@pytest.fixture(scope="session", autouse=True)
def in_process():
    """Make `export` work in this process. Each of its subprocesses would import TensorFlow."""
    from seq2lite.export.system import isolation

    with isolation.in_process():
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """A function that makes a file or folder once for all workers of a test run.

    `made_once(name, make)` calls `make(path)` with a path that does not exist, unless another worker has
    made it, and returns the path. Tests must not change the result.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of the folders of all workers
    folder /= "made-once"
    folder.mkdir(exist_ok=True)

    def made(name, make):
        path = folder / name
        with FileLock(f"{path}.lock"):
            if not path.exists():
                partial = Path(tempfile.mkdtemp(dir=folder)) / name
                make(partial)
                partial.rename(path)
        return path

    return made


@pytest.fixture(scope="session")
def exported(made_once):
    """A function from the name of a structure to its `Exported` model and file."""
    from structures import Exported, structured_file, structured_model

    @functools.cache
    def made(name):
        path = made_once(
            f"{name}.tflite", lambda partial: partial.write_bytes(structured_file(name))
        )
        return Exported(structured_model(name), path.read_bytes())

    return made


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
    from random_models import randomize
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
def bundle(tiny_model, tokenizer, pairs, made_once):
    """A float32 bundle of `tiny_model`, not measured; tests must not change it."""
    from seq2lite import export

    def make(path):
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
            attention=True,
            measure=False,
        )

    return made_once("my-model", make)


@pytest.fixture(
    scope="session",
    params=["transformer_tiny", pytest.param("rnn_tiny", marks=pytest.mark.long)],
)
def trained(request, pairs, tmp_path_factory):
    """The translation recipe of a family on a few pairs in float32: its Config and its Result."""
    from random_models import SMALL_PRESETS
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
        architecture=SMALL_PRESETS[request.param],
        vocabulary_size=1000,
        max_length=48,
        dropout=0.0,  # The model memorizes the few pairs, so that its outputs differ.
        quantizations=("float32",),
        measure=False,
        training=Training(
            epochs=7, batch_tokens=256, learning_rate=0.01, warmup_steps=20, score_pairs=0
        ),
        search=Search(num_beams=1),
    )
    return config, translate.train(config)
