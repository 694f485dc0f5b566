"""The ops of a TFLite file."""

from collections import Counter

from ..system.isolation import ConversionError
from . import flatbuffer

# Ops of the built-in list that are there for the converter's failures, not for a device.
_NOT_FOR_DEVICES = {"CUSTOM", "DELEGATE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}


def check_ops(content):
    """Counts a file's ops by name. Raises ConversionError at one that is no device's built-in."""
    model = flatbuffer.read(content)
    counts = Counter()
    for graph in model.subgraphs:
        for operator in graph.operators or []:
            name = flatbuffer.op_name(model, operator)
            if name in _NOT_FOR_DEVICES:
                custom = (model.operatorCodes[operator.opcodeIndex].customCode or b"").decode()
                outputs = [graph.tensors[i].name.decode() for i in operator.outputs]
                raise ConversionError(
                    "The file must hold built-in TFLite ops only. "
                    f"Received: {custom or name}, which makes {outputs}"
                )
            counts[name] += 1
    return counts
