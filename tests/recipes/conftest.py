"""Fixtures of the tests of the recipes."""

import pytest


@pytest.fixture(scope="module")
def data(pairs, tokenizer):
    """A `Data` of short pairs, in batches of at most 256 tokens."""
    from seq2lite.recipes.data.batches import Batches
    from seq2lite.recipes.data.pairs import Pairs
    from seq2lite.recipes.data.prepare import Data

    options = {"max_length": 24, "batch_tokens": 256}
    train = Batches(pairs.filter(lambda s, _: len(s) < 40, "long"), tokenizer, seed=1, **options)
    return Data(tokenizer, train, Batches(Pairs(pairs[:8]), tokenizer, **options), {})
