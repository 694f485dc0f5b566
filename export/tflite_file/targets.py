"""Device targets: the ops, types and ranks that each supports."""

from ..system.isolation import ConversionError
from . import flatbuffer
from .ops import check_ops

# What some device lacks: GPU delegates all but GELU, microcontrollers most of them.
NOT_PORTABLE = (
    "DYNAMIC_UPDATE_SLICE",
    "WHILE",
    "IF",
    "PACK",
    "SHAPE",
    "ONE_HOT",
    "GELU",
    "GATHER_ND",
    "REVERSE_V2",
    "BROADCAST_TO",
    "RANGE",
    "FILL",
    "EMBEDDING_LOOKUP",
)


MAX_RANK = 4


def check_portable(content):
    """Counts a file's ops by name; raises ConversionError at what some device cannot run.

    Args:
        content: A TFLite file's bytes.

    Raises:
        ConversionError: It names each op, type or rank that is in the way, and a tensor of it.
    """
    counts = check_ops(content)
    model = flatbuffer.read(content)
    faults = [f"{name} ({counts[name]} of them)" for name in NOT_PORTABLE if counts[name]]
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            shape = [] if tensor.shape is None else list(tensor.shape)
            name = tensor.name.decode()
            if tensor.type in (
                flatbuffer.schema.TensorType.INT64,
                flatbuffer.schema.TensorType.STRING,
            ):
                faults.append(f"64-bit integers or strings in {name}")
            if len(shape) > MAX_RANK:
                faults.append(f"rank {len(shape)} of {name}")
            if tensor.shapeSignature is not None and -1 in tensor.shapeSignature:
                faults.append(f"a dynamic size of {name}")
    if faults:
        raise ConversionError(
            "A portable file must have static shapes of rank 4 at the most, 32-bit integers, and none "
            f"of {', '.join(NOT_PORTABLE)}. Received: {'; '.join(faults[:8])}"
        )
    return counts
