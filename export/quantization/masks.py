"""How low the masks of an integer file are: as low as the scores need, and no lower.

The zoo's -30,000 would leave an 8-bit score no digits beside it.
"""

import numpy as np

from seq2lite.zoo.contract import PADDING_BIAS

from ..tflite_file import flatbuffer
from ..tflite_file.flatbuffer import schema
from .scales import read_constant, softmax_inputs


def fit_masks(model, observed):
    """Rewrites the masks of a portable float32 file's tables for the scores that were met.

    With the greatest score that was met a mask sums to the least that a softmax still sees.

    Args:
        model: The file's tables; the constants that are the zoo's `PADDING_BIAS` are changed.
        observed: What `static_calibration.observe` gave of the file.

    Returns:
        What it would have given with the new masks.
    """
    lows = []
    for graph, t in softmax_inputs(model):
        if f"{graph}/{t}" not in observed:
            continue
        summands = _summands(model, graph, t)
        greatest = sum(max(_greatest(model, observed, graph, s), 0) for s in summands)
        lows.append(observed[f"{graph}/{t}"][0] - greatest)
    if not lows:
        return observed
    bias = np.float32(min(lows))
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            values = read_constant(model, tensor)
            if values is not None and (values == PADDING_BIAS).all():
                model.buffers[tensor.buffer].data = np.frombuffer(
                    np.full_like(values, bias).tobytes(), np.uint8
                )
    return {
        name: np.where(values < PADDING_BIAS / 2, values - PADDING_BIAS + bias, values)
        for name, values in observed.items()
    }


def _summands(model, graph, t):
    """The tensors whose sum a tensor is."""
    for operator in model.subgraphs[graph].operators:
        if t in operator.outputs:
            is_sum = flatbuffer.op_of(model, operator) == schema.BuiltinOperator.ADD
            return [int(s) for s in operator.inputs] if is_sum else []
    return []


def _greatest(model, observed, graph, t):
    values = read_constant(model, model.subgraphs[graph].tensors[t])
    return (observed[f"{graph}/{t}"] if values is None else values).max()
