"""Fixtures of the tests of the searches."""

import numpy as np
import pytest

from random_models import FEW_CASES, mostly_long, random_ids
from search_models import model_of
from seq2lite import zoo

# A growing KV cache, SSRUs, a fixed context, input feeding.
SHORT = (
    "transformer-rotary-rms-swiglu-grouped",
    "transformer-relative-ssru-post-norm",
    "gru-cho",
    "lstm-luong",
)


@pytest.fixture(params=mostly_long(FEW_CASES, SHORT), scope="module")
def model(request):
    return model_of(request.param)


@pytest.fixture(scope="module")
def source():
    return random_ids(np.random.default_rng(1), [7, 4, 1])


@pytest.fixture(scope="module")
def greedy(model, source):
    """Tokens and lengths of a greedy search of nine steps."""
    return zoo.greedy_search(model, source, 9)
