"""Encoding and decoding of text."""

import pickle
import unicodedata

import pytest
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from seq2lite import export, zoo
from seq2lite.export.runtime.text import source_ids
from seq2lite.export.runtime.tokenizer import Tokenizers
from seq2lite.export.runtime.unicode import STRIPPED
from seq2lite.recipes.data.batches import Batches
from seq2lite.recipes.data.pairs import Pairs
from seq2lite.recipes.data.text_files import DataError
from seq2lite.recipes.data.tokenizers import learn_tokenizer, symbol_tokenizer
from seq2lite.zoo.text import check_tokenizer

SIZES = {"embedding_dim": 16, "hidden_dim": 16}


def test_every_text_comes_back_as_it_was(tokenizer, pairs):
    texts = [text for pair in pairs for text in pair]
    texts += ["two  spaces", "🙂👩‍👩‍👧", "Ωmega", "漢字", "{0}\\n<b>", "a\tb"]
    assert tokenizer.decode(tokenizer.encode(texts)) == texts
    decomposed = [unicodedata.normalize("NFD", text) for text in texts]
    assert tokenizer.encode(decomposed) == tokenizer.encode(texts)


def test_spaces_and_byte_order_marks_at_the_ends_change_no_ids(tokenizer):
    for edge in (*STRIPPED, " \ufeff\t\ufeff\u3000\n"):
        for text in (f"{edge}파일 열기", f"파일 열기{edge}", f"{edge}파일 열기{edge}"):
            assert tokenizer.encode([text]) == tokenizer.encode(["파일 열기"])
            assert tokenizer.n_best(text, 4) == tokenizer.n_best("파일 열기", 4)
            assert source_ids(tokenizer, [text, edge], 9)[1] == []


def test_a_long_text_is_learned_from_too():
    tokenizer = learn_tokenizer(["가나다라마바사아 " * 1000], 269)
    assert len(tokenizer.encode(["가나다라"])[0]) < 8  # bytes would be twelve


def test_learning_twice_gives_the_same_tokenizer(tokenizer, pairs):
    """A resumed run learns its tokenizer again."""
    again = learn_tokenizer([text for pair in pairs for text in pair], 1000)
    assert again.model_bytes == tokenizer.model_bytes


@pytest.mark.parametrize("size", [-1, 0, 100, 700])
def test_the_error_of_a_small_vocabulary_names_the_minimum(size, pairs):
    with pytest.raises(DataError, match=rf"must be at least \d+: .* Received: {size}$"):
        learn_tokenizer([text for pair in pairs for text in pair], size)


def test_the_error_of_a_large_vocabulary_names_the_maximum():
    with pytest.raises(DataError, match=r"must be at most \d+: .* Received: 4000"):
        learn_tokenizer(["too little text"], 4000)


@pytest.mark.parametrize("model", [b"", b"nonsense", __file__])
def test_an_invalid_tokenizer_is_named(model):
    with pytest.raises(ValueError, match="The tokenizer must be a SentencePiece model"):
        export.Tokenizer(model)


def test_a_phone_is_one_symbol_and_a_letter_too():
    tokenizer = symbol_tokenizer(["cat", "at"], ["K AE1 T", "AE1 T"])
    words, phones = tokenizer.encode(["cat", "tac"]), tokenizer.encode(["K AE1 T", "T AE1"])
    assert [len(ids) for ids in [*words, *phones]] == [3, 4, 3, 2]  # "tac": no word began with t
    texts = ["cat", "tac", "K AE1 T", "T AE1", "zoé", "x y"]
    assert tokenizer.decode(tokenizer.encode(texts)) == texts


def test_the_most_probable_segmentation_is_that_of_encode(tokenizer, pairs):
    for text, _ in pairs[:20]:
        found = tokenizer.n_best(text, 8)
        assert found[0][0] == tokenizer.encode([text])[0]
        assert [score for _, score in found] == sorted((s for _, s in found), reverse=True)
        assert tokenizer.decode([ids for ids, _ in found]) == [text] * len(found)


@pytest.fixture
def without_start(tokenizer):
    """The bytes of a SentencePiece model without a begin id, as T5's."""
    proto = ModelProto.FromString(tokenizer.model_bytes)
    proto.trainer_spec.bos_piece = "<absent>"
    return proto.SerializeToString()


def test_targets_can_start_with_the_padding(without_start, tokenizer):
    padding_starts = export.Tokenizer(without_start, start_id=0)
    for side in (padding_starts, pickle.loads(pickle.dumps(padding_starts))):
        assert side.vocabulary == {**tokenizer.vocabulary, "start_id": 0}
    model = zoo.build("rnn_tiny", **SIZES, **padding_starts.vocabulary)
    assert check_tokenizer(model, padding_starts).target is padding_starts
    with pytest.raises(ValueError, match=r"start_id=0.*start_id=2.*Tokenizer\(…, start_id=model"):
        check_tokenizer(model, tokenizer)
    batches = Batches(
        Pairs([("Open", "열기")] * 2), padding_starts, max_length=9, batch_tokens=40, seed=1
    )
    inputs, next_tokens, weights = next(iter(batches.dataset()))
    assert (inputs["target"][:, 0] == 0).numpy().all() and (next_tokens[:, 0] > 3).numpy().all()
    assert weights.numpy().all()


def test_a_tokenizer_without_a_start_reads_sources_only(without_start, tokenizer):
    source = export.Tokenizer(without_start)
    vocabulary = Tokenizers.of((source, tokenizer)).vocabulary
    assert vocabulary == {**tokenizer.vocabulary, "source_vocabulary_size": 1000}
    with pytest.raises(ValueError, match=r"`start_id` must be given .* pad_id=0, as in T5"):
        source.vocabulary  # noqa: B018


@pytest.mark.parametrize("start_id", [-1, 1000, 2.0, True, "2"])
def test_a_start_that_is_no_id_is_named(tokenizer, start_id):
    with pytest.raises(ValueError, match=r"`start_id` must be an int in \[0, 1000\)"):
        export.Tokenizer(tokenizer.model_bytes, start_id)
