"""Attention masks of an integer file: only as low as the scores need.

With the mask of the zoo, -1.1e12, in its range, a score would have no resolution left.
"""

import numpy as np

from seq2lite.zoo.layers.softmax import MASK_BIAS

from ..tflite_file import flatbuffer
from ..tflite_file.flatbuffer import schema
from .scales import read_constant, softmax_inputs


def fit_masks(model, observed):
    """Fit the masks in the tables of a static float32 file to the observed scores.

    The largest observed score plus the mask is the lowest score that affects a softmax.

    Args:
        model: The file's tables; constants equal to the `MASK_BIAS` of the zoo are changed.
        observed: Result of `observe.observe` for the file.

    Returns:
        The result of `observe.observe` with the new masks.
    """
    lows = []
    for graph, t in softmax_inputs(model):
        if f"{graph}/{t}" not in observed:
            continue
        summands = _summands(model, graph, t)
        highest = sum(max(_maximum(model, observed, graph, s), 0) for s in summands)
        lows.append(observed[f"{graph}/{t}"][0] - highest)
    if not lows:
        return observed
    bias = np.float32(min(lows))
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            values = read_constant(model, tensor)
            if values is not None and (values == MASK_BIAS).all():
                model.buffers[tensor.buffer].data = np.frombuffer(
                    np.full_like(values, bias).tobytes(), np.uint8
                )
    return {
        name: np.where(np.abs(values) > -MASK_BIAS / 2, np.copysign(bias, values), values)
        for name, values in observed.items()
    }


def _summands(model, graph, t):
    """Return the tensors whose sum a tensor is."""
    for operator in model.subgraphs[graph].operators:
        if t in operator.outputs:
            is_sum = flatbuffer.op_of(model, operator) == schema.BuiltinOperator.ADD
            return [int(s) for s in operator.inputs] if is_sum else []
    return []


def _maximum(model, observed, graph, t):
    values = read_constant(model, model.subgraphs[graph].tensors[t])
    return (observed[f"{graph}/{t}"] if values is None else values).max()
