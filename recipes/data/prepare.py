"""From text pairs to training batches."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seq2lite.export.runtime.checks import quote
from seq2lite.export.runtime.tokenizer import Tokenizer

from .batches import Batches
from .pairs import Pairs
from .tokenizers import can_sample, text_obstacle

if TYPE_CHECKING:  # a real import would be a circle
    from ..run.config import RecipeConfig

# Measured with `rnn_tiny` and pairs of short phrases. 300 pairs were repeated after 600 updates, and not
# after 80. With 2,600 pairs, BLEU on other phrases was 0.8 after 330 updates and 6.8 after 1,030; with
# 1,000 pairs it was 1.6 after 810.
MIN_UPDATES = 1000
MIN_PAIRS = 2000


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
    """Make the training and held-out batches of a recipe, and print their contents.

    Args:
        config: The recipe's Config.
        train: Pairs to train on.
        valid: Held-out pairs.
        tests: Pairs to score after training, by name. `valid` may be among them.
        tokenizer: A `Tokenizer`, or one for each side.

    Returns:
        The `Data`.

    Raises:
        ValueError: There are too few batches to change any weight, or `alpha` does not suit the
            tokenizer.

    Example:
        >>> from seq2lite.recipes import translate
        >>> from seq2lite.recipes.data.prepare import make_data
        >>> train, valid = held_out.subset(range(12), "a"), held_out.subset(range(12, 16), "b")
        >>> data = make_data(translate.Config(), train, valid, {"b": valid}, tokenizer)
        12 training pairs, 4 held-out pairs; 2 batches per epoch, 51.6% padding
        vocabulary of 1,000 subwords; first pair: 'Disable the code action menu.' → '코드 작업 메뉴를 사용하지 않도록 설정합니다.'
    """
    batches = training_batches(config, train, tokenizer)
    held_out = Batches(valid, tokenizer, **config.batch_options)
    max_lengths = config.data.max_lengths
    other_tests = [pairs for pairs in tests.values() if pairs.origin != valid.origin]
    summary = [
        f"{batches.num_pairs:,} training pairs, {held_out.num_pairs:,} held-out pairs; "
        f"{batches.num_batches:,} batches per epoch, {batches.padding:.1%} padding",
        f"{_vocabulary(batches.tokenizers)}; first pair: {' → '.join(map(quote, train[0]))}",
    ]
    summary += [
        f"{pairs.origin}: {note}" for pairs in (train, valid, *other_tests) for note in pairs.notes
    ]
    summary += [
        f"{pairs.origin}: {count:,} lines dropped ({reason})"
        for pairs in (train, valid, *other_tests)
        for reason, count in pairs.dropped.items()
    ]
    print("\n".join(summary), flush=True)
    for advice in small_data_advice(config, batches, has_random_weights=not config.base):
        _warn(advice)
    if obstacle := text_obstacle(tokenizer):
        _warn(f"the files take ids, not text, so that a caller tokenizes; {obstacle}")
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
        ValueError: There are too few batches to change any weight, or `alpha` does not suit the
            tokenizer.

    Example:
        >>> from seq2lite.recipes import translate
        >>> from seq2lite.recipes.data.prepare import training_batches
        >>> training_batches(translate.Config.of(batch_tokens=256), held_out, tokenizer).num_batches
        3
    """
    training = config.training
    if training.alpha and not can_sample(tokenizer):
        raise ValueError(
            "`alpha` must be 0 unless the tokenizer is a unigram model, whose segmentations can be "
            f"sampled. Received: alpha={training.alpha}"
        )
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


def small_data_advice(
    config: "RecipeConfig", batches: Batches, has_random_weights: bool = True
) -> list[str]:
    """Return sentences on too few updates or pairs, and on how to change that.

    Args:
        config: The recipe's Config.
        batches: The `Batches` to train on.
        has_random_weights: Whether the model starts with random weights. Default: True.

    Example:
        >>> from seq2lite.recipes import translate
        >>> from seq2lite.recipes.data.prepare import small_data_advice, training_batches
        >>> config = translate.Config.of(epochs=8)
        >>> advice = small_data_advice(config, training_batches(config, held_out, tokenizer))
        >>> [sentence.partition(" are few")[0] for sentence in advice]
        ['16 updates', '16 training pairs']
    """
    training, advice = config.training, []
    num_updates = training.epochs * batches.num_batches // training.accumulate
    if num_updates < MIN_UPDATES:
        epochs = -(-MIN_UPDATES * training.accumulate // batches.num_batches)
        advice.append(
            f"{num_updates:,} updates are few: models need about {MIN_UPDATES:,} to learn. Try "
            f"--epochs {epochs}, or smaller batches (--batch-tokens)"
        )
    if has_random_weights and batches.num_pairs < MIN_PAIRS:
        advice.append(
            f"{batches.num_pairs:,} training pairs are few: a model that starts with random weights "
            "learns to repeat them, and generates little of use for other text. Add pairs, "
            f"{MIN_PAIRS:,} or more, or start from a trained model with --init-from"
        )
    return advice


def _vocabulary(tokenizers):
    """Describe the size of the vocabulary, or of both."""
    source, target = tokenizers.source.vocabulary_size, tokenizers.target.vocabulary_size
    if tokenizers.are_shared:
        return f"vocabulary of {target:,} subwords"
    return f"vocabularies of {source:,} and {target:,} subwords"


def _warn(message):
    print(f"warning: {message}", file=sys.stderr)
