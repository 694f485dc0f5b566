"""Weights to integers: to the nearest, or so that the products with real activations change least."""

from dataclasses import dataclass

import ml_dtypes
import numpy as np

DAMPING = 0.01  # of the mean of the second moments' diagonal: Frantar et al. 2023, section 3.3


# Parts of the greatest weight of a block that its scale may reach: clipping one weight can serve
# all the others.
SHRINKING = np.linspace(1.0, 0.6, 17)


@dataclass(frozen=True)
class Grid:
    """The values that a weight `(rows, inputs)` may have: integers times scales.

    Attributes:
        bits: 8 or 4.
        block: Inputs of a row that share one scale.
        per_row: False: all of the weight shares one.
    """

    bits: int
    block: int
    per_row: bool = True

    @property
    def least(self):
        # 4-bit blocks use all 16 values; elsewhere kernels want symmetric ones.
        return -(2 ** (self.bits - 1)) + (self.bits == 8)

    @property
    def greatest(self):
        return 2 ** (self.bits - 1) - 1

    def integers(self, values, scales):
        """`values` over `scales`, rounded and clipped."""
        return np.clip(np.rint(values / scales), self.least, self.greatest)

    def scales(self, values, importance=None):
        """Scales `(rows, 1)` for one block `values (rows, block)`.

        Args:
            importance: `(block,)`, how much an error at each input counts; the scale is then the one
                of the least error. None: the greatest weight is the greatest integer.
        """
        most = np.abs(values).max(axis=1, keepdims=True)
        if not self.per_row:
            most = np.full_like(most, most.max())
        if importance is None:
            return self._stored(most / self.greatest)
        best, least_error = None, None
        for part in SHRINKING:
            scales = self._stored(part * most / self.greatest)
            error = self.integers(values, scales) * scales - values
            error = (error**2 * importance).sum(axis=1, keepdims=True)
            if best is None:
                best, least_error = scales, error
            else:
                best = np.where(error < least_error, scales, best)
                least_error = np.minimum(error, least_error)
        return best

    def _stored(self, scales):
        """As a file holds them: those of 4-bit blocks as float16, of bfloat16's precision."""
        scales = np.where(scales > 0, scales, 1).astype(np.float32)
        if self.bits == 4:
            scales = scales.astype(ml_dtypes.bfloat16).astype(np.float16).astype(np.float32)
        return np.where(scales > 0, scales, np.finfo(np.float16).tiny).astype(np.float32)


def round_to_nearest(values, grid):
    """A weight `(rows, inputs)` to integers of its shape, and scales `(rows, inputs / block)`."""
    integers, scales = np.empty_like(values), []
    for start in range(0, values.shape[1], grid.block):
        block = values[:, start : start + grid.block]
        scales.append(grid.scales(block))
        integers[:, start : start + grid.block] = grid.integers(block, scales[-1])
    return integers, np.concatenate(scales, axis=1)


def round_calibrated(values, grid, second_moment):
    """`round_to_nearest`, but each input makes up for the errors of those before it.

    GPTQ: Frantar et al. 2023, https://arxiv.org/abs/2210.17323, algorithm 1. It lessens the error
    of the products, ||W x - Q x||² over the activations x, not that of the weights.

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
