"""Real text for calibrating 4-bit weights, and subprocess: what weights are multiplied with on it.

`python -m seq2lite.export.quantization.second_moments FILE IN.npz OUT.npz` runs a float32 file's `encode` and
`decode_step` with all tensors kept, and sums up x xᵀ over the activations x that enter each product.
"""

from dataclasses import asdict, dataclass

import numpy as np

NUM_SENTENCES = 64


MAX_STEPS = 64  # of a sentence


BATCH = 16


@dataclass(frozen=True)
class Calibration:
    """Sources, and what a model says of them, in ids.

    Attributes:
        source: int32 `(n, source_length)`, each row ended, then padded.
        lengths: Tokens in each row of `source`, `(n,)`.
        teacher: int32 `(n, target_length)`: what `decode_step` reads, the start first.
        target_lengths: Tokens in each row of `teacher`, `(n,)`.
    """

    source: np.ndarray
    lengths: np.ndarray
    teacher: np.ndarray
    target_lengths: np.ndarray

    @classmethod
    def of(cls, source, tokens, lengths, model):
        """Of sources and what was generated for them, by `greedy_search`, evenly many of them."""
        rows = slice(None, None, -(-len(source) // NUM_SENTENCES))
        source, tokens, lengths = (np.asarray(x)[rows] for x in (source, tokens, lengths))
        start = np.full((len(tokens), 1), model.start_id, np.int32)
        return cls(
            source=source,
            lengths=np.asarray(model.source_mask(source)).sum(axis=1),
            teacher=np.concatenate([start, tokens], axis=1)[:, :MAX_STEPS].astype(np.int32),
            target_lengths=np.minimum(lengths + 1, MAX_STEPS),
        )

    def save(self, path):
        """Writes what `load` reads."""
        np.savez(path, **asdict(self))

    @classmethod
    def load(cls, path):
        """Reads what `save` wrote."""
        return cls(**np.load(path))

    def batches(self):
        """Parts of BATCH rows or fewer, without columns that are padding in all of them."""
        for start in range(0, len(self.source), BATCH):
            rows = slice(start, start + BATCH)
            lengths, target_lengths = self.lengths[rows], self.target_lengths[rows]
            yield Calibration(
                self.source[rows, : lengths.max()],
                lengths,
                self.teacher[rows, : target_lengths.max()],
                target_lengths,
            )
