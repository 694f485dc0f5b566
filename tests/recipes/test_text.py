"""Text to ids and back, and the batches that training reads."""

import unicodedata

import numpy as np
import pytest

from seq2lite import export
from seq2lite.recipes.pairs import DataError
from seq2lite.recipes.text import batches, learn_tokenizer


def test_every_text_comes_back_as_it_was(tokenizer, pairs):
    texts = [text for pair in pairs for text in pair]
    texts += ["  two  spaces ", "🙂👩‍👩‍👧", "Ωmega", "漢字", "{0}\\n<b>", "\t"]
    assert tokenizer.decode(tokenizer.encode(texts)) == texts
    decomposed = [unicodedata.normalize("NFD", text) for text in texts]
    assert tokenizer.encode(decomposed) == tokenizer.encode(texts)


def test_learning_twice_gives_the_same_tokenizer(tokenizer, pairs):
    """A run that goes on after a stop learns it again."""
    again = learn_tokenizer([text for pair in pairs for text in pair], 1000)
    assert again.model_bytes == tokenizer.model_bytes


def test_too_little_text_says_what_is_possible():
    with pytest.raises(DataError, match=r"Please set it to a value <= \d+"):
        learn_tokenizer(["too little text"], 4000)


@pytest.mark.parametrize("model", [b"", b"nonsense", __file__])
def test_what_is_no_tokenizer_is_named(model):
    with pytest.raises(ValueError, match="The tokenizer must be a SentencePiece model"):
        export.Tokenizer(model)


def rows_of(dataset):
    """Each pair as (source ids, target ids, next ids), without padding."""
    for inputs, following, weight in dataset.as_numpy_iterator():
        assert inputs["target"].shape == following.shape == weight.shape
        for source, target, after, counted in zip(
            inputs["source"], inputs["target"], following, weight, strict=True
        ):
            n = int(counted.sum())
            assert counted[:n].all() and not counted[n:].any()
            assert not after[n:].any() and not source[(source != 0).sum() :].any()
            yield tuple(source[source != 0]), tuple(target[:n]), tuple(after[:n])


def test_batches_hold_each_pair_once_and_predict_the_next_token(pairs, tokenizer):
    dataset, num_cut = batches(pairs, tokenizer, max_length=400, batch_tokens=1024, shuffle_seed=1)
    assert num_cut == 0
    expected = [
        ((*source, 3), (2, *target), (*target, 3))
        for source, target in zip(
            *(tokenizer.encode(list(column)) for column in zip(*pairs, strict=True)), strict=True
        )
    ]
    first, second = list(rows_of(dataset)), list(rows_of(dataset))
    assert sorted(first) == sorted(expected)
    assert sorted(second) == sorted(expected)
    assert first != second  # shuffled anew


def test_a_long_pair_is_cut_and_counted(tokenizer):
    pairs = [("short", "짧다"), ("long " * 50, "길다"), ("x", "길다 " * 50)]
    dataset, num_cut = batches(pairs, tokenizer, max_length=12, batch_tokens=512)
    assert num_cut == 2
    found = list(rows_of(dataset))
    assert {max(map(len, row)) for row in found} <= set(range(13))
    assert all(source[-1] == 3 for source, _, _ in found)
    whole = tokenizer.encode(["long " * 50])[0]
    assert (*whole[:11], 3) in [source for source, _, _ in found]


def test_batches_hold_little_padding_and_no_more_than_they_may(pairs, tokenizer):
    tokens = places = 0
    dataset, _ = batches(pairs * 4, tokenizer, max_length=96, batch_tokens=1024, shuffle_seed=2)
    assert len(list(dataset)) == dataset.cardinality()
    for inputs, _, _ in dataset.as_numpy_iterator():
        assert inputs["source"].size <= 1024
        tokens += np.count_nonzero(inputs["source"]) + np.count_nonzero(inputs["target"])
        places += inputs["source"].size + inputs["target"].size
    assert tokens > 0.6 * places
