"""Facts about the machine that a training depends on."""

import dataclasses
import math

import keras

from . import processes
from .backend import IS_JAX
from .devices import num_devices

# Rows of a batch are a multiple of this under JAX. So 1, 2, 4 or 8 devices train on the same
# batches, and a run may resume on more or fewer of them.
_ROWS_MULTIPLE = 8


@dataclasses.dataclass(frozen=True)
class Machine:
    """Facts about the machine that a run records, and resumes with only if they are the same.

    The number of processes may differ: the weights do not depend on it.

    Attributes:
        backend: Keras backend of the training.
        processes: Number of processes.
        few_shapes: Whether batches have few shapes, as JAX compiles each shape.
        rows_multiple: Number that divides the number of rows of each batch.
    """

    backend: str = "tensorflow"
    processes: int = 1
    few_shapes: bool = False
    rows_multiple: int = 1


def this_machine() -> Machine:
    """Return the facts about this machine and the backend that runs."""
    backend, count = keras.backend.backend(), num_devices()
    if IS_JAX:
        rows_multiple = math.lcm(_ROWS_MULTIPLE, count)
        return Machine(backend, processes.shard()[1], True, rows_multiple)
    return Machine(backend, rows_multiple=count)
