"""How texts are brought to the search."""

import numpy as np
import pytest

from seq2lite.recipes.evaluation.decoding import Decoder, Search


@pytest.mark.parametrize(
    ("limit", "length", "padded"),
    [(160, 150, 160), (200, 150, 192), (160, 5, 8), (2000, 1500, 2000)],
)
def test_few_shapes_are_never_longer_than_a_source_may_be(tokenizer, limit, length, padded):
    decoder = Decoder(tokenizer, Search(), (limit, 40))
    source = decoder._padded_to_few_shapes(np.ones((3, length), np.int32))
    assert source.shape == (4, padded)
    assert (source[:, :length] == 1).all() and (source[:, length:] == tokenizer.pad_id).all()
