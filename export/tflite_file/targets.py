"""The table of device targets: the ops, types and shapes that the runtimes of each support.

A target is one entry of `TARGETS`. Conversion looks it up there.
"""

from collections import Counter
from dataclasses import dataclass

from ..system.isolation import ConversionError
from . import flatbuffer
from .rewrites import as_select_v2

MAX_FAULTS = 8  # that an error lists


@dataclass(frozen=True)
class Target:
    """The limits of a device target.

    Attributes:
        name: Its name, the key in `TARGETS`.
        excluded_ops: Names of ops that it lacks.
        excluded_types: Names of tensor types that it lacks.
        max_rank: Maximum rank of a tensor, or None.
        static_shapes: Whether all sizes must be static.
        rewrites: Functions from a file's bytes to those of an equivalent file, applied in order.
    """

    name: str
    excluded_ops: tuple = ()
    excluded_types: tuple = ()
    max_rank: int | None = None
    static_shapes: bool = False
    rewrites: tuple = ()

    def requirements(self):
        """The limits in words."""
        words = ["static shapes"] if self.static_shapes else []
        if self.max_rank is not None:
            words.append(f"a rank of at most {self.max_rank}")
        if self.excluded_types:
            words.append(f"no tensors of {', '.join(self.excluded_types)}")
        return ", ".join([*words, f"no ops of {', '.join(self.excluded_ops)}"])


# In the schema's list of built-in ops, but not kernels of a runtime: they appear when the converter
# could not convert an op or a variable.
_NO_KERNELS = ("CUSTOM", "DELEGATE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")
_TARGETS = (
    # The built-in ops of every TFLite runtime on a CPU.
    Target("cpu", excluded_ops=_NO_KERNELS),
    # Everything that some device lacks: GPU delegates (all of these but GELU), NPUs, web runtimes
    # and microcontrollers.
    Target(
        "portable",
        excluded_ops=(
            *_NO_KERNELS,
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
        ),
        excluded_types=("INT64", "STRING"),
        max_rank=4,
        static_shapes=True,
        rewrites=(as_select_v2,),
    ),
)
TARGETS = {target.name: target for target in _TARGETS}


def prepare(content, target):
    """Apply the rewrites of a target, and check the result.

    Args:
        content: A file's bytes.
        target: Name of a target.

    Returns:
        The bytes of the rewritten file.

    Raises:
        ConversionError: The target does not support the file.
    """
    for rewrite in TARGETS[target].rewrites:
        content = rewrite(content)
    check_target(content, target)
    return content


def check_target(content, target):
    """Raise ConversionError unless a target supports everything in a file.

    Args:
        content: A file's bytes.
        target: Name of a target.

    Returns:
        Counter of the file's ops by name.

    Raises:
        ConversionError: The message names each unsupported op, type, rank or size, with a tensor.
    """
    model, limits = flatbuffer.read(content), TARGETS[target]
    counts, faults = Counter(), {}
    for graph in model.subgraphs:
        for operator in graph.operators or []:
            name = flatbuffer.op_name(model, operator)
            counts[name] += 1
            if name in limits.excluded_ops:
                custom = (model.operatorCodes[operator.opcodeIndex].customCode or b"").decode()
                outputs = [graph.tensors[i].name.decode() for i in operator.outputs]
                faults.setdefault(name, f"{custom or name}, which computes {', '.join(outputs)}")
        for tensor in graph.tensors:
            faults |= dict.fromkeys(_tensor_faults(tensor, limits))
    if faults:
        found = [
            f"{text} ({counts[name]} in total)" if text else name for name, text in faults.items()
        ]
        raise ConversionError(
            f"A file for target={target!r} must have {limits.requirements()}. "
            f"Received: {'; '.join(found[:MAX_FAULTS])}"
        )
    return counts


def _tensor_faults(tensor, limits):
    name, rank = tensor.name.decode(), 0 if tensor.shape is None else len(tensor.shape)
    kind = flatbuffer.TYPE_NAMES[tensor.type]
    if kind in limits.excluded_types:
        yield f"type {kind} of {name}"
    if limits.max_rank is not None and rank > limits.max_rank:
        yield f"rank {rank} of {name}"
    is_dynamic = tensor.shapeSignature is not None and -1 in tensor.shapeSignature
    if limits.static_shapes and is_dynamic:
        yield f"a dynamic size of {name}"
