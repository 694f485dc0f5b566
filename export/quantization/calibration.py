"""Calibration: real sources on which activations are measured."""

from dataclasses import dataclass

import numpy as np

NUM_SENTENCES = 64  # with more of them, scales and second moments hardly change
MAX_STEPS = 64  # of a sentence
BATCH = 16


@dataclass(frozen=True)
class Calibration:
    """Sources and the targets that the model generates for them, to run a file on.

    Attributes:
        source: Sources `(n, source_length)`, each ended, then padded.
        lengths: Length of each source, `(n,)`.
        teacher: int32 `(n, target_length)`, inputs of `decode_step`, the start first.
        target_lengths: Length of each row of `teacher`, `(n,)`.
    """

    source: np.ndarray
    lengths: np.ndarray
    teacher: np.ndarray
    target_lengths: np.ndarray

    @classmethod
    def of(cls, source, lengths, tokens, token_lengths, start_id):
        """Select at most `NUM_SENTENCES` sources with their targets, at regular intervals.

        Args:
            source: As in the attributes.
            lengths: As in the attributes.
            tokens: int32 `(n, target_length)` that `greedy_search` generated for the sources.
            token_lengths: Length of each row of `tokens`, `(n,)`.
            start_id: Id that begins a target.
        """
        rows = slice(None, None, -(-len(source) // NUM_SENTENCES))
        arrays = (source, lengths, tokens, token_lengths)
        source, lengths, tokens, token_lengths = (np.asarray(array)[rows] for array in arrays)
        start = np.full((len(tokens), 1), start_id, np.int32)
        return cls(
            source=source,
            lengths=lengths,
            teacher=np.concatenate([start, tokens], axis=1)[:, :MAX_STEPS].astype(np.int32),
            target_lengths=np.minimum(token_lengths + 1, MAX_STEPS),
        )

    def batches(self):
        """Yield parts of at most BATCH rows, without the columns that are padding in all of them."""
        for start in range(0, len(self.source), BATCH):
            rows = slice(start, start + BATCH)
            lengths, target_lengths = self.lengths[rows], self.target_lengths[rows]
            yield Calibration(
                self.source[rows, : lengths.max()],
                lengths,
                self.teacher[rows, : target_lengths.max()],
                target_lengths,
            )


@dataclass(frozen=True)
class StaticCalibration:
    """Sources that a static file decodes while the values of its tensors are observed.

    Attributes:
        source: Sources `(n, source_length)`, padded to the length of the file's input.
        max_length: Maximum number of tokens to generate for a source.
        ids: dict of the model's `start_id`, `end_id` and `pad_id`.
    """

    source: np.ndarray
    max_length: int
    ids: dict
