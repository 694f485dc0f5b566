"""Decoding with a Keras model."""

import numpy as np
import pytest

from random_models import randomize
from seq2lite import zoo
from seq2lite.recipes.data.tokenizers import learn_tokenizer
from seq2lite.recipes.evaluation.decoding import Decoder, Search
from seq2lite.recipes.evaluation.evaluate import bundle_decoder


@pytest.mark.parametrize(
    ("limit", "length", "padded"),
    [(160, 150, 160), (200, 150, 192), (160, 5, 8), (2000, 1500, 2000)],
)
def test_few_shapes_are_never_longer_than_a_source_may_be(tokenizer, limit, length, padded):
    decoder = Decoder(tokenizer, Search(), (limit, 40))
    source = decoder._padded_to_few_shapes(np.ones((3, length), np.int32))
    assert source.shape == (4, padded)
    assert (source[:, :length] == 1).all() and (source[:, length:] == tokenizer.pad_id).all()


def test_source_and_target_may_have_a_tokenizer_each(tokenizer, pairs):
    other = learn_tokenizer([target for _, target in pairs], 900)
    model = randomize(
        zoo.transformer(
            source_vocabulary_size=tokenizer.vocabulary_size,
            vocabulary_size=other.vocabulary_size,
            embeddings="separate",
            num_layers=1,
            model_dim=32,
            num_heads=2,
            feed_forward_dim=64,
        )
    )
    sources = [source for source, _ in pairs[:5]]
    found = Decoder((tokenizer, other), Search(num_beams=1), (24, 8))(model, sources)
    rows = [[*ids[:23], 3] for ids in tokenizer.encode(sources)]
    for row, text in zip(rows, found, strict=True):
        tokens, lengths = zoo.greedy_search(model, np.array([row]), 8)
        assert other.decode([np.array(tokens)[0, : int(lengths[0])]]) == [text]
    assert any(found)


def test_a_bundle_decodes_to_the_best_hypothesis_of_beam_search(
    bundle, tiny_model, tokenizer, pairs
):
    search = Search(num_beams=3, length_penalty=0.6)  # those of the fixture
    sources = [source for source, _ in pairs[:4]]
    best, last = [], []
    for ids in tokenizer.encode(sources):
        source = np.array([[*ids[:39], tokenizer.end_id]])
        tokens, lengths, _ = (
            np.array(x)
            for x in zoo.beam_search(tiny_model, source, 12, num_hypotheses=3, **vars(search))
        )
        texts = tokenizer.decode([row[:n] for row, n in zip(tokens[0], lengths[0], strict=True)])
        best.append(texts[0])
        last.append(texts[-1])
    assert bundle_decoder(bundle)(sources) == best != last
