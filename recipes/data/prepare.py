"""From text pairs to training batches."""

import dataclasses
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from seq2lite.export.runtime.tokenizer import Tokenizer

from .batches import Batches
from .pairs import Pairs


@dataclasses.dataclass(frozen=True)
class Data:
    """The data of a run.

    Attributes:
        tokenizer: A `Tokenizer`, or one for each side.
        train: `Batches` to train on.
        valid: Held-out `Batches`.
        tests: (source, reference) pairs to score after training, by name of the test.
    """

    tokenizer: Tokenizer
    train: Batches
    valid: Batches
    tests: Mapping[str, Sequence[tuple]]


def make_data(
    config, train: Pairs, valid: Pairs, tests: dict[str, Pairs], tokenizer: Tokenizer
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
    held_out = Batches(valid, tokenizer, **_batch_options(config))
    max_lengths = config.data.max_lengths
    other_tests = [pairs for pairs in tests.values() if pairs.origin != valid.origin]
    print("\n".join([*describe(batches, held_out), *dropped_lines(other_tests)]), flush=True)
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
    return Data(tokenizer, batches, held_out, tests)


def training_batches(config, train: Pairs, tokenizer: Tokenizer) -> Batches:
    """Make the batches to train on.

    Raises:
        ValueError: There are too few batches to change any weight.

    Example:
        >>> from seq2lite.recipes import translate
        >>> from seq2lite.recipes.data.prepare import training_batches
        >>> training_batches(translate.Config.of(batch_tokens=256), held_out, tokenizer).num_batches
        3
    """
    training, options = config.training, _batch_options(config)
    batches = Batches(train, tokenizer, seed=training.seed, alpha=training.alpha or None, **options)
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


def describe(train: Batches, valid: Batches) -> Iterator[str]:
    """Yield lines that describe the batches to train on and the held-out batches.

    Example:
        >>> from seq2lite.recipes.data.batches import Batches
        >>> from seq2lite.recipes.data.prepare import describe
        >>> batches = Batches(held_out, tokenizer, max_length=96, batch_tokens=256)
        >>> list(describe(batches, batches))
        ['16 training pairs, 16 held-out pairs; 3 batches per epoch, 22.0% padding']
    """
    yield (
        f"{train.num_pairs:,} training pairs, {valid.num_pairs:,} held-out pairs; "
        f"{train.num_batches:,} batches per epoch, {train.padding:.1%} padding"
    )
    yield from dropped_lines([train.pairs, valid.pairs])


def dropped_lines(parts: Iterable[Pairs]) -> Iterator[str]:
    """Yield a line for each reason for which pairs were dropped.

    Example:
        >>> from seq2lite.recipes.data.pairs import Pairs
        >>> from seq2lite.recipes.data.prepare import dropped_lines
        >>> list(dropped_lines([Pairs([], origin="a.tsv", dropped={"duplicate": 2})]))
        ['a.tsv: 2 lines dropped (duplicate)']
    """
    for pairs in parts:
        for reason, count in pairs.dropped.items():
            yield f"{pairs.origin}: {count:,} lines dropped ({reason})"


def _batch_options(config):
    """Return the options that training and held-out batches share."""
    shape = {"max_length": config.data.max_lengths, "batch_tokens": config.training.batch_tokens}
    return shape | config.machine.batch_options


def _warn(message):
    print(f"warning: {message}", file=sys.stderr)
