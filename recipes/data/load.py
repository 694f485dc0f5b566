"""Text pairs, their tokenizer and their batches, in one call."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .extension import extend
from .pairs import Pairs, read_pairs
from .prepare import Data, make_data
from .splits import read_splits
from .tokenizers import learn_tokenizer

if TYPE_CHECKING:  # a real import would be a circle
    from ..run.config import RecipeConfig


def load_data(config: "RecipeConfig", read: Callable[..., Pairs] = read_pairs) -> Data:
    """Read the pairs of a recipe, learn a tokenizer from them, and make the batches.

    Args:
        config: The recipe's Config.
        read: Function that reads the files of one split as `Pairs`.

    Example:
        >>> from seq2lite.recipes import ask
        >>> from seq2lite.recipes.data.load import load_data
        >>> data = load_data(ask.Config(), ask.read_questions)
        352 training pairs, 60 held-out pairs; 46 batches per epoch, 6.5% padding
    """
    train, valid, tests = read_splits(config.data, read)
    if config.base:
        tokenizer = config.base.tokenizer
    else:
        texts = (text for pair in train for text in pair)
        # An option that a recipe adds.
        tokenizer = learn_tokenizer(texts, config.data.vocabulary_size)  # type: ignore[attr-defined]
    tokenizer = extend(tokenizer, train, config)
    return make_data(config, train, valid, tests, tokenizer)
