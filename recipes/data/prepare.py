"""From text pairs to training batches."""

import sys
from collections.abc import Iterable, Iterator

from seq2lite.export.runtime.tokenizer import Tokenizer

from ..distributed import processes
from .batches import Batches
from .pairs import Pairs


def make_batches(
    train: Pairs,
    valid: Pairs,
    tests: dict[str, Pairs],
    tokenizer: Tokenizer,
    training,
    max_lengths: tuple[int, int],
) -> tuple[Batches, Batches]:
    """Makes the training and held-out batches of a recipe, and prints what they contain.

    Args:
        train: Pairs to train on.
        valid: Held-out pairs.
        tests: Pairs to score after training, by name. `valid` may be among them.
        tokenizer: A `Tokenizer`, or one for each side.
        training: The recipe's `Training` options.
        max_lengths: Maximum source and target length in tokens.

    Returns:
        The `Batches` of `train` and of `valid`.

    Raises:
        ValueError: There are too few batches to change any weight.
    """
    batches = training_batches(train, tokenizer, training, max_lengths)
    held_out = Batches(valid, tokenizer, **_options(training, max_lengths))
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
    return batches, held_out


def training_batches(
    train: Pairs, tokenizer: Tokenizer, training, max_lengths: tuple[int, int]
) -> Batches:
    """Makes the batches to train on; raises ValueError if they are too few to change any weight."""
    options = _options(training, max_lengths)
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
    """Yields lines that describe the batches to train on and the held-out batches."""
    yield (
        f"{train.num_pairs:,} training pairs, {valid.num_pairs:,} held-out pairs; "
        f"{train.num_batches:,} batches an epoch, {train.padding:.1%} padding"
    )
    yield from dropped_lines([train.pairs, valid.pairs])


def dropped_lines(parts: Iterable[Pairs]) -> Iterator[str]:
    """Yields a line for each reason for which pairs were dropped."""
    for pairs in parts:
        for reason, count in pairs.dropped.items():
            yield f"{pairs.origin}: {count:,} lines dropped ({reason})"


def _options(training, max_lengths):
    """Returns the options that training and held-out batches share."""
    shape = {"max_length": max_lengths, "batch_tokens": training.batch_tokens}
    return shape | processes.batch_options()


def _warn(message):
    print(f"warning: {message}", file=sys.stderr)
