"""Softmax over attention scores, of which some are masked."""

import keras
from keras import ops

# Bias of a masked score: -1.1e12, a power of two, which bfloat16 represents too. The weight is exactly
# zero for scores of up to 1e11 in size. A much lower bias overflows in the exponential of some runtimes.
MASK_BIAS = -(2.0**40)
FLOAT16_MINIMUM = -65504.0


def lowest_bias(dtype):
    """Return `MASK_BIAS`, or in float16 the lowest number of that range."""
    return FLOAT16_MINIMUM if dtype == "float16" else MASK_BIAS


def mask_bias(is_visible, dtype):
    """Return the bias of attention scores: 0 where `is_visible` is 1 (or True), else `lowest_bias`.

    No factor is zero. GPU delegates compute in float16, where the bias is infinite, and zero times
    infinity is not a number. The ops are those that every runtime has, for integers too.
    """
    sign = 2 * ops.cast(is_visible, dtype) - 1
    return ops.relu(sign * lowest_bias(dtype)) * -1.0


def attention_weights(scores, bias):
    """Return the softmax of `scores + bias` over the last axis; exactly zero at masked scores.

    Args:
        scores: `(..., keys)`.
        bias: Broadcasts to `scores`; the sum of a `mask_bias` and other biases, if any.
    """
    if scores.shape[-1] == 1:  # `ops.softmax` warns about it, and the weight is 1
        return ops.ones_like(scores)
    biased = scores + bias
    if keras.backend.standardize_dtype(scores.dtype) == "float16":
        # No bias in float16 is below all scores.
        is_masked = ops.less(bias, FLOAT16_MINIMUM / 2)
        biased = ops.where(is_masked, ops.cast(FLOAT16_MINIMUM, "float16"), biased)
    return ops.softmax(biased)
