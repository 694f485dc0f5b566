"""Log-probabilities and alignments of given targets, over text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .checks import checked_texts, require
from .text import pad
from .tokenizer import Tokenizers
from .unicode import clean


@dataclass(frozen=True)
class ScoredTarget:
    """The log-probability of a target text.

    Args:
        log_probability: Natural logarithm of the probability of the target, its end included.
        tokens: Subwords of the target, the end last.
        token_log_probabilities: The log-probability of each token, float32 `(len(tokens),)`.
    """

    log_probability: float
    tokens: list[str]
    token_log_probabilities: np.ndarray


@dataclass(frozen=True)
class Alignment:
    """The attention that a target pays to its source, for `zoo.plot.plot_alignment`.

    Args:
        weights: Attention weights, float32 `(len(target), len(source))`. Each row sums to 1.
        source: Subwords of the source, the end last.
        target: Subwords of the target, the end last.
    """

    weights: np.ndarray
    source: list[str]
    target: list[str]


class TargetScores:
    """The methods of a `Runner` over given targets."""

    description: dict
    tokenizers: Tokenizers

    def score(
        self, sources: Sequence[str], targets: Sequence[str], batch_size: int = 32
    ) -> list[ScoredTarget]:
        """Return the log-probability of each target and of its tokens, as `zoo.score` does.

        The answer to a blank source is "": another target has the log-probability -inf.

        Args:
            sources: Source texts.
            targets: A target text for each source, such as the results of `generate`. It is encoded
                again: its tokens can be others than those that a search has generated.
            batch_size: Number of texts per call of the file.

        Raises:
            ValueError: The texts are not lists of str of equal length, or a target is longer than a
                static file allows.
        """
        _check_texts(sources, targets)
        subwords = self.tokenizers.target.subwords
        scored = [
            ScoredTarget(-np.inf if clean(text) else 0.0, [], np.zeros(0)) for text in targets
        ]
        for row, _, target, each, _ in _scored(self, sources, targets, batch_size):
            scored[row] = ScoredTarget(float(each.sum()), subwords(target), each)
        return scored

    def align(
        self, sources: Sequence[str], targets: Sequence[str], batch_size: int = 32
    ) -> list[Alignment]:
        """Return the attention that each target pays to its source.

        Args:
            sources: Source texts.
            targets: A target text for each source, as in `score`.
            batch_size: Number of texts per call of the file.

        Raises:
            ValueError: As in `score`, or the bundle was exported without `attention=True`.
        """
        _check_texts(sources, targets)
        aligned = [Alignment(np.zeros((0, 0)), [], []) for _ in targets]
        for row, source, target, _, weights in _scored(self, sources, targets, batch_size):
            if weights is None:
                raise ValueError(
                    "Alignments need attention weights: export a model with attention with "
                    f"`attention=True`. Received: {self.description.get('name')!r} without them"
                )
            subwords = self.tokenizers.source.subwords(source)
            aligned[row] = Alignment(weights, subwords, self.tokenizers.target.subwords(target))
        return aligned


def _check_texts(sources, targets):
    """Raise ValueError unless both are lists of str of equal length."""
    checked_texts(sources), checked_texts(targets)
    expected = f"a text for each of the {len(sources)} sources"
    require(len(targets) == len(sources), expected, targets=targets)


def _scored(runner, sources, targets, batch_size) -> Iterator[tuple]:
    """Score targets in batches.

    Yields:
        The index of a pair; its source ids and target ids; the log-probability of each target token;
        and the attention weights `(target_length, source_length)`, None without attention. Pairs with
        a blank source are missing.
    """
    end_id = runner.tokenizers.target.end_id
    ids = [[*row, end_id] for row in runner.tokenizers.target.encode(targets)]
    for rows, source, _ in runner.batches(sources, None, batch_size):
        search = runner.engine.host_search()
        _, each, attention = search.score(source, pad([ids[row] for row in rows], search.pad_id))
        for i, row in enumerate(rows):
            source_ids = source[i, : np.flatnonzero(source[i] == end_id)[-1] + 1]
            length = len(ids[row])
            weights = attention if attention is None else attention[i, :length, : len(source_ids)]
            yield row, source_ids, ids[row], each[i, :length], weights
