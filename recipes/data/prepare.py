"""From text pairs to training batches."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seq2lite.export.runtime.tokenizer import Tokenizer

from .batches import Batches
from .pairs import Pairs

if TYPE_CHECKING:  # a real import would be a circle
    from ..run.config import RecipeConfig


@dataclasses.dataclass(frozen=True)
class Data:
    """The data of a run.

    Attributes:
        tokenizer: A `Tokenizer`, or one for each side.
        train: `Batches` to train on.
        valid: Held-out `Batches`.
        tests: (source, reference) pairs to score after training, by name of the test.
        summary: Lines that describe the batches, and the pairs that were dropped.
    """

    tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer]
    train: Batches
    valid: Batches
    tests: Mapping[str, Sequence[tuple]]
    summary: Sequence[str] = ()


def make_data(
    config: "RecipeConfig",
    train: Pairs,
    valid: Pairs,
    tests: dict[str, Pairs],
    tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer],
) -> Data:
    """Make the training and held-out batches of a recipe, and print what they contain.

    Args:
        config: The recipe's Config.
        train: Pairs to train on.
        valid: Held-out pairs.
        tests: Pairs to score after training, by name. `valid` may be among them.
        tokenizer: A `Tokenizer`, or one for each side.

    Returns:
        The `Data`.

    Raises:
        ValueError: There are too few batches to change any weight.

    Example:
        >>> from seq2lite.recipes import translate
        >>> from seq2lite.recipes.data.prepare import make_data
        >>> train, valid = held_out.subset(range(12), "a"), held_out.subset(range(12, 16), "b")
        >>> data = make_data(translate.Config(), train, valid, {"b": valid}, tokenizer)
        12 training pairs, 4 held-out pairs; 2 batches per epoch, 51.6% padding
    """
    batches = training_batches(config, train, tokenizer)
    held_out = Batches(valid, tokenizer, **config.batch_options)
    max_lengths = config.data.max_lengths
    other_tests = [pairs for pairs in tests.values() if pairs.origin != valid.origin]
    summary = [
        f"{batches.num_pairs:,} training pairs, {held_out.num_pairs:,} held-out pairs; "
        f"{batches.num_batches:,} batches per epoch, {batches.padding:.1%} padding"
    ]
    summary += [
        f"{pairs.origin}: {count:,} lines dropped ({reason})"
        for pairs in (train, valid, *other_tests)
        for reason, count in pairs.dropped.items()
    ]
    print("\n".join(summary), flush=True)
    if batches.num_cut or held_out.num_cut:
        _warn(
            f"{batches.num_cut:,} training and {held_out.num_cut:,} held-out pairs are longer than "
            f"{max_lengths[0]} source or {max_lengths[1]} target tokens and are cut"
        )
    for pairs in other_tests:
        sources = batches.tokenizers.source.encode([source for source, _ in pairs])
        if num_cut := sum(len(ids) + 1 > max_lengths[0] for ids in sources):
            _warn(
                f"{num_cut:,} sources of {pairs.origin} are longer than {max_lengths[0]} tokens and "
                "are cut"
            )
    return Data(tokenizer, batches, held_out, tests, summary)


def training_batches(
    config: "RecipeConfig", train: Pairs, tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer]
) -> Batches:
    """Make the batches to train on.

    Raises:
        ValueError: There are too few batches to change any weight.

    Example:
        >>> from seq2lite.recipes import translate
        >>> from seq2lite.recipes.data.prepare import training_batches
        >>> training_batches(translate.Config.of(batch_tokens=256), held_out, tokenizer).num_batches
        3
    """
    training = config.training
    order: dict[str, Any] = {"seed": training.seed, "alpha": training.alpha or None}
    batches = Batches(train, tokenizer, **order, **config.batch_options)
    num_batches = training.epochs * batches.num_batches
    # The learning rate of the very first batch is 0.
    for name, minimum in (("epochs", 2), ("accumulate", training.accumulate)):
        if num_batches < minimum:
            raise ValueError(
                f"`{name}` must give at least {minimum} batches in all, so that the training "
                f"changes weights. Received: {name}={getattr(training, name)}, with {num_batches} "
                "batches. Add data, or lower --batch-tokens"
            )
    return batches


def _warn(message):
    print(f"warning: {message}", file=sys.stderr)
