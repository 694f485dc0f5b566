"""Vocabularies of a recipe: of the user, one or one for each side, or learned in a size that fits."""

import dataclasses
import io
import unicodedata

import pytest
import sentencepiece

from random_models import SMALL_PRESETS
from seq2lite import export
from seq2lite.export.runtime.tokenizer import Tokenizers
from seq2lite.recipes import ask, generate, pronounce, summarize, translate
from seq2lite.recipes.data.load import load_data
from seq2lite.recipes.data.pairs import Pairs, read_pairs
from seq2lite.recipes.data.text_files import DataError
from seq2lite.recipes.data.tokenizers import (
    fitting_size,
    learn_tokenizer,
    make_tokenizer,
    open_tokenizers,
    symbol_tokenizer,
    text_obstacle,
)
from seq2lite.recipes.evaluation.decoding import Search
from seq2lite.recipes.run.build import build_model
from seq2lite.recipes.training.options import Training

MODELS = {
    "unigram": {"model_type": "unigram"},
    "bpe": {"model_type": "bpe", "user_defined_symbols": ["<sep>", "열기"], "byte_fallback": True},
    "no ids": {"model_type": "bpe", "bos_id": -1, "eos_id": -1},
    "pad": {
        "pad_id": 0,
        "unk_id": 1,
        "bos_id": 2,
        "eos_id": 3,
        "normalization_rule_name": "nfkc_cf",
    },
    "user pad": {"user_defined_symbols": ["<pad>"]},
    "char": {"model_type": "char"},
}


@pytest.fixture(scope="module")
def trained_model(pairs, tmp_path_factory):
    """A function from the name of one of MODELS to the path of a SentencePiece model."""

    def train(name, texts=None, size=900):
        path = tmp_path_factory.mktemp("own") / "my.model"
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts or [text for pair in pairs for text in pair]),
            model_writer=model, vocab_size=size, hard_vocab_limit=False, minloglevel=2, **MODELS[name],
        )  # fmt: skip
        path.write_bytes(model.getvalue())
        return str(path)

    return train


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_the_user_keeps_its_ids_and_gets_those_it_lacks(name, trained_model, pairs):
    path = trained_model(name)
    tokenizer, before = open_tokenizers([path]), sentencepiece.SentencePieceProcessor(path)
    ids = [tokenizer.pad_id, tokenizer.start_id, tokenizer.end_id, before.unk_id()]
    assert len({*ids}) == 4 and all(0 <= i < tokenizer.vocabulary_size for i in ids)
    for theirs, own in zip((before.pad_id(), before.bos_id(), before.eos_id()), ids, strict=False):
        assert theirs in (-1, own)
    texts = [text for pair in pairs[:50] for text in pair] + ["<sep> 열기", "🙂"]
    assert tokenizer.encode(texts) == before.encode(texts)
    rows = tokenizer.encode(texts)
    assert tokenizer.decode([[*row, tokenizer.end_id] for row in rows]) == before.decode(rows)


def small_run(tmp_path, pairs, **options):
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{a}\t{b}\n" for a, b in pairs[:60]), "utf-8")
    training = Training(epochs=1, batch_tokens=512, score_pairs=0)
    return translate.Config.of(
        **{
            "train": (str(path),), "output": str(tmp_path / "run"), "preset": "transformer_tiny",
            "architecture": SMALL_PRESETS["transformer_tiny"], "max_length": 40, "training": training,
            "search": Search(num_beams=1), "measure": False, **options,
        }
    )  # fmt: skip


@pytest.mark.long
def test_a_recipe_trains_and_exports_with_models_of_the_user(
    trained_model, pairs, tmp_path, capsys
):
    """One for each side; neither is a kind that a file can contain."""
    sides = [trained_model("pad", [source for source, _ in pairs], 400)]
    sides.append(trained_model("pad", [target for _, target in pairs], 800))
    config = small_run(tmp_path, pairs, tokenizer=tuple(sides), quantizations=("float32",))
    result = translate.train(config)
    printed = capsys.readouterr()
    assert "the files take ids, not text" in printed.err
    assert "vocabularies of 400 and 800 subwords" in printed.out
    assert (tmp_path / "run/tokenizer.model").read_bytes() != (
        tmp_path / "run/target_tokenizer.model"
    ).read_bytes()
    (scores,) = result.scores.values()
    assert scores["float32"] == pytest.approx(scores["Keras"])
    runner = export.load(tmp_path / "run/float32")
    assert len(runner.generate(["Open File"])) == 1


@pytest.mark.parametrize("recipe", [generate, pronounce])
def test_other_recipes_take_a_model_too(recipe, trained_model, tmp_path):
    config = recipe.Config.of(tokenizer=(trained_model("bpe"),))
    assert config.inputs[-1] == config.data.tokenizer[0]
    data = recipe.build_data(config)
    assert data.tokenizer.vocabulary_size == 901  # and an id of padding


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokenizer": ("a", "b", "c")}, r"`tokenizer` must be a SentencePiece model, or one for"),
        (
            {"tokenizer": ("a",), "vocabulary_size": 900},
            r"`vocabulary_size` must not be given with",
        ),
        (
            {"tokenizer": ("a",), "separate_vocabularies": True},
            "`separate_vocabularies` must not be",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        translate.Config.of(**options)


def test_a_file_that_is_no_tokenizer_is_named(trained_model, tmp_path):
    with pytest.raises(DataError, match=r"The tokenizer must be a file. Received: nowhere.model"):
        open_tokenizers(["nowhere.model"])
    with pytest.raises(ValueError, match=rf"must be a SentencePiece model. Received: {__file__}"):
        open_tokenizers([__file__])
    paths = [trained_model("pad"), trained_model("bpe")]
    with pytest.raises(
        DataError, match=rf"the same pad_id. .*{paths[1]}. Train both with --pad_id=0"
    ):
        open_tokenizers(paths)


def test_segmentations_of_a_bpe_model_cannot_be_sampled(trained_model, pairs, tmp_path):
    training = Training(epochs=1, alpha=0.2)
    for name in ("bpe", "unigram"):
        config = small_run(tmp_path, pairs, tokenizer=(trained_model(name),), training=training)
        if name == "bpe":
            with pytest.raises(
                ValueError, match=r"`alpha` must be 0 unless .* Received: alpha=0.2"
            ):
                load_data(config)
        else:
            next(iter(load_data(config).train.dataset()))


@pytest.mark.parametrize("preset", ["transformer_tiny", "rnn_tiny", "sutskever_2014"])
def test_a_vocabulary_for_each_side_is_learned(preset, pairs, tmp_path):
    options = {"vocabulary_size": 600, "separate_vocabularies": True, "preset": preset}
    config = small_run(tmp_path, pairs, architecture=SMALL_PRESETS.get(preset, ()), **options)
    data = load_data(config)
    source, target = data.tokenizer
    assert source.vocabulary_size == target.vocabulary_size == 600
    assert not Tokenizers.of(data.tokenizer).are_shared and not text_obstacle(data.tokenizer)
    korean, english = "편집기", "editor"
    assert len(source.encode([english])[0]) < len(target.encode([english])[0])
    assert len(target.encode([korean])[0]) < len(source.encode([korean])[0])
    if preset != "sutskever_2014":  # too large for a test
        model = build_model(config, data.tokenizer)
        assert model.source_embedding is not model.target_embedding


def test_decomposed_text_and_marks_give_the_same_tokenizers(pairs):
    texts = [text for pair in pairs for text in pair]
    changed = [f"\ufeff {unicodedata.normalize('NFD', text)}\ufeff\n" for text in texts]
    assert learn_tokenizer(changed, 900).model_bytes == learn_tokenizer(texts, 900).model_bytes
    words = ["각", "\ufeff", "né"], ["K A G\ufeff", "N E\u0301"]
    changed = [[unicodedata.normalize("NFD", text) for text in side] for side in words]
    cleaned = [["각", "né"], ["K A G", "N É"]]
    assert len({symbol_tokenizer(*each).model_bytes for each in (words, changed, cleaned)}) == 1


def phrases(count):
    return Pairs([(f"phrase number {i} of {count}", f"{i}번 문구") for i in range(count)])


@pytest.mark.parametrize("pairs_count", [1, 2, 5, 30, 300, 3000])
def test_an_automatic_vocabulary_fits_a_small_text(pairs_count):
    train = phrases(pairs_count)
    size = make_tokenizer(translate.Config(), train).vocabulary_size
    assert 262 < size <= max(290, sum(len(a) + len(b) for a, b in train) // 64)
    with pytest.raises(DataError, match=r"`vocabulary_size` must be at most \d+"):
        make_tokenizer(translate.Config.of(vocabulary_size=40_000), train)


@pytest.mark.parametrize(
    ("recipe", "size"), [(translate, 4000), (summarize, 8000), (ask, 2000), (generate, 4000)]
)
def test_the_automatic_vocabulary_of_the_packages_data_is_that_of_the_recipe(recipe, size):
    options = recipe.Config().data
    assert options.automatic_vocabulary_size == size
    help_of = {field.name: field.metadata["help"] for field in dataclasses.fields(options)}
    assert f"; 0: {size}, or fewer" in help_of["vocabulary_size"]
    read = {ask: ask.read_questions, generate: generate.read_paragraphs}.get(recipe, read_pairs)
    texts = [text for pair in read(*options.train) for text in pair]
    assert fitting_size(texts, size) == size
