"""From pairs to batches."""

import sys

from ..distributed import processes
from .batches import Batches


def make_batches(train, valid, tests, tokenizer, training, max_lengths):
    """The batches of a recipe; prints what is in them, and what of the tests will not be scored.

    Args:
        train: `Pairs` to train on.
        valid: `Pairs` held out.
        tests: dict, name to `Pairs` to score in the end; `valid` may be among them.
        tokenizer: A `Tokenizer`.
        training: A `Training`.
        max_lengths: Most tokens of a source and of a target.

    Returns:
        Two `Batches`, of `train` and of `valid`.

    Raises:
        ValueError: So few batches train that no weight would change.
    """
    batches = training_batches(train, tokenizer, training, max_lengths)
    held_out = Batches(valid, tokenizer, **_shape(training, max_lengths))
    tests = [pairs for pairs in tests.values() if pairs.origin != valid.origin]
    print("\n".join([*describe(batches, held_out), *left_out(tests)]), flush=True)
    if batches.num_cut or held_out.num_cut:
        print(
            f"warning: {batches.num_cut:,} of them and {held_out.num_cut:,} held out are longer "
            f"than {max_lengths[0]} source or {max_lengths[1]} target tokens, and are cut there",
            file=sys.stderr,
        )
    for pairs in tests:
        sources = tokenizer.encode([source for source, _ in pairs])
        if num_cut := sum(len(ids) + 1 > max_lengths[0] for ids in sources):
            print(
                f"warning: {num_cut:,} of the sources of {pairs.origin} are longer than {max_lengths[0]} tokens, "
                "and are cut there",
                file=sys.stderr,
            )
    return batches, held_out


def training_batches(train, tokenizer, training, max_lengths):
    """The `Batches` to train on; raises ValueError where they are too few to change a weight."""
    options = {"seed": training.seed, "alpha": training.alpha or None}
    batches = Batches(train, tokenizer, **options, **_shape(training, max_lengths))
    num_batches = training.epochs * batches.num_batches
    # The first of all has a learning rate of 0.
    for name, least in (("epochs", 2), ("accumulate", training.accumulate)):
        if num_batches < least:
            raise ValueError(
                f"`{name}` must let the training change weights, for which it wants {least} batches or more. "
                f"Received: {getattr(training, name)}, with which there are {num_batches} in all"
            )
    return batches


def _shape(training, max_lengths):
    """What shapes batches, of training and held-out text alike: options of `Batches`."""
    options = {"max_length": max_lengths, "batch_tokens": training.batch_tokens}
    return options | processes.batch_options()


def describe(train, valid):
    """Lines that say what two `Batches`, to train on and held out, are made of."""
    yield (
        f"{train.num_pairs:,} pairs to train on, {valid.num_pairs:,} held out; "
        f"{train.num_batches:,} batches an epoch, {train.padding:.1%} of them padding"
    )
    yield from left_out([train.pairs, valid.pairs])


def left_out(parts):
    """Lines that say what several `Pairs` left out of their files, and why."""
    for pairs in parts:
        for why, count in pairs.dropped.items():
            yield f"{pairs.origin}: {count:,} lines left out for {why}"
