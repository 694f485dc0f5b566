"""Rounding of weights to integers: to the nearest, or by GPTQ on real activations."""

from dataclasses import dataclass, replace

import ml_dtypes
import numpy as np

DAMPING = 0.01  # relative to the mean diagonal of the second moments: Frantar et al. 2023, 3.3


# Candidates for the largest value of a block, relative to its largest weight: clipping that weight can
# reduce the error of all others.
SHRINKING = np.linspace(1.0, 0.6, 17)


@dataclass(frozen=True)
class Grid:
    """The values that a weight `(rows, inputs)` can take: integers times scales.

    Attributes:
        bits: 8 or 4.
        block: Number of inputs of a row that share one scale; None for all of them.
        per_row: Whether each row has its own scales; otherwise the weight has one scale.
    """

    bits: int
    block: int | None = None
    per_row: bool = True

    def fitted(self, inputs):
        """Return the grid of rows of `inputs` values: one scale per row if blocks do not fit."""
        is_block = self.block is not None and inputs % self.block == 0
        return replace(self, block=self.block if is_block else inputs)

    @property
    def minimum(self):
        # 4-bit blocks use all 16 values; 8-bit kernels need symmetric ones.
        return -(2 ** (self.bits - 1)) + (self.bits == 8)

    @property
    def maximum(self):
        return 2 ** (self.bits - 1) - 1

    def integers(self, values, scales):
        """Return `values / scales`, rounded and clipped."""
        return np.clip(np.rint(values / scales), self.minimum, self.maximum)

    def scales(self, values, importance=None):
        """Return the scales `(rows, 1)` of one block `values (rows, block)`.

        Args:
            importance: `(block,)`, weight of the squared error at each input; the scale minimizes
                their sum. Default: the largest weight becomes the largest integer.
        """
        largest = np.abs(values).max(axis=1, keepdims=True)
        if not self.per_row:
            largest = np.full_like(largest, largest.max())
        if importance is None:
            return self._stored(largest / self.maximum)
        best, min_error = None, None
        for part in SHRINKING:
            scales = self._stored(part * largest / self.maximum)
            error = self.integers(values, scales) * scales - values
            error = (error**2 * importance).sum(axis=1, keepdims=True)
            if best is None:
                best, min_error = scales, error
            else:
                best = np.where(error < min_error, scales, best)
                min_error = np.minimum(error, min_error)
        return best

    def _stored(self, scales):
        """Round scales as a file stores them: 4-bit ones as float16 with the precision of bfloat16."""
        scales = np.where(scales > 0, scales, 1).astype(np.float32)
        if self.bits == 4:
            scales = scales.astype(ml_dtypes.bfloat16).astype(np.float16).astype(np.float32)
        return np.where(scales > 0, scales, np.finfo(np.float16).tiny).astype(np.float32)


def round_to_nearest(values, grid):
    """Round a weight `(rows, inputs)` to integers; return them and scales `(rows, inputs / block)`."""
    integers, scales = np.empty_like(values), []
    for start in range(0, values.shape[1], grid.block):
        block = values[:, start : start + grid.block]
        scales.append(grid.scales(block))
        integers[:, start : start + grid.block] = grid.integers(block, scales[-1])
    return integers, np.concatenate(scales, axis=1)


def round_calibrated(values, grid, second_moment):
    """Round a weight by GPTQ, where each input compensates the errors of those before it.

    Frantar et al. 2023, https://arxiv.org/abs/2210.17323, algorithm 1. It reduces the error of the
    products, ||W x - Q x||² over the activations x, instead of that of the weights.

    Args:
        values: The weight, `(rows, inputs)`.
        grid: Its `Grid`.
        second_moment: Mean of x xᵀ, `(inputs, inputs)`.
    """
    moment = second_moment.astype(np.float64)
    damping = DAMPING * np.trace(moment) / len(moment)
    moment = moment + max(damping, 1e-12) * np.eye(len(moment))
    importance = np.diag(moment).astype(np.float32)
    upper = np.linalg.cholesky(np.linalg.inv(moment)).T.astype(np.float32)  # inverse = upperᵀ upper
    values = values.astype(np.float32)
    integers, scales = np.empty_like(values), []
    inputs = values.shape[1]
    step = min(grid.block, 128)
    for start in range(0, inputs, step):
        end = min(start + step, inputs)
        if start % grid.block == 0:
            block = slice(start, start + grid.block)
            scale = grid.scales(values[:, block].astype(np.float32), importance[block])
            scales.append(scale)
        errors = np.empty((len(values), end - start), np.float32)
        for i in range(start, end):
            integers[:, i] = grid.integers(values[:, i : i + 1], scale)[:, 0]
            error = (values[:, i] - integers[:, i] * scale[:, 0]) / upper[i, i]
            values[:, i:end] -= np.outer(error, upper[i, i:end])
            errors[:, i - start] = error
        values[:, end:] -= errors @ upper[start:end, end:]
    return integers, np.concatenate(scales, axis=1)
