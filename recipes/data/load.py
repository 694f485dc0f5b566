"""Text pairs, their tokenizers and their batches, in one call."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .pairs import Pairs, read_pairs
from .prepare import Data, make_data
from .splits import read_splits
from .tokenizers import make_tokenizer

if TYPE_CHECKING:  # a real import would be a circle
    from ..run.config import RecipeConfig


def load_data(config: "RecipeConfig", read: Callable[..., Pairs] = read_pairs) -> Data:
    """Read the pairs of a recipe, learn or open its tokenizers, and make the batches.

    Args:
        config: The recipe's Config.
        read: Function that reads the files of one split as `Pairs`, given `columns` too.

    Example:
        >>> from seq2lite.recipes import ask
        >>> from seq2lite.recipes.data.load import load_data
        >>> data = load_data(ask.Config(), ask.read_questions)
        352 training pairs, 60 held-out pairs; 46 batches per epoch, 6.5% padding
        vocabulary of 2,000 subwords; first pair: "answer: If you find Python installed on your system but don'…" → 'Why is Python installed on my machine?'
    """
    train, valid, tests = read_splits(config.data, read)
    return make_data(config, train, valid, tests, make_tokenizer(config, train))
