"""The precision that trains fastest on this machine and loses no quality."""

import contextlib
import os
import platform
from pathlib import Path

import keras
import tensorflow as tf

from . import handover

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")


def choose_precision(name="auto"):
    """The dtype policy that `name` asks for; of "auto", the one that trains fastest here.

    Where a training is exported that was under JAX, "auto" is what it was there.

    Measured on an AMD EPYC of the Zen 4 kind (AVX-512 with its bfloat16 part, no AMX) with
    TensorFlow 2.21, two threads, `transformer_small` and `rnn_small`, least ms of a step of 64 x
    (32 + 32) tokens on a machine that had other work too; oneDNN held to a set of instructions by
    `ONEDNN_MAX_CPU_ISA`:

    | instructions | Transformer float32 | bfloat16 | RNN float32 | bfloat16 |
    |---|---|---|---|---|
    | all | 962 | 702 | 817 | 591 |
    | `AVX512_CORE` | 930 | 2130 | 896 | 1777 |
    | `AVX2` | 1044 | the process dies | 946 | the process dies |

    XLA in float32 took 1115 and 1164 there. Under JAX, which compiles by XLA, bfloat16 took 1.06 and
    1.21 times as long as float32 (another machine, with AMX; least of 6 turns on one busy core). No GPU
    was measured; under JAX none is looked for.

    Args:
        name: One of PRECISIONS.

    Returns:
        Name of a `keras.DTypePolicy`.

    Example:
        >>> from seq2lite.recipes.distributed.precision import choose_precision
        >>> choose_precision("float32")
        'float32'
    """
    if name != "auto":
        return name
    if trained := handover.received():
        return trained["precision"]
    if keras.backend.backend() != "tensorflow":
        return "float32"
    capability = gpu_capability()
    if capability is None:
        return "mixed_bfloat16" if multiplies_bfloat16() else "float32"
    # Tensor cores multiply float16 from 7.0 (Volta), bfloat16 from 8.0 (Ampere) on.
    if capability >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if capability >= (7, 0) else "float32"


def gpu_capability():
    """The least compute capability of the GPUs that TensorFlow sees, as (8, 0); None without one."""
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return min((each.get("compute_capability", (0, 0)) for each in details), default=None)


def multiplies_bfloat16(cpuinfo="/proc/cpuinfo"):
    """Whether TensorFlow's products in bfloat16 run on instructions of this processor for them.

    They do through oneDNN, on x86-64 with AMX or AVX-512's bfloat16 part. Where the system does not
    say what the processor has (only Linux does, in a file), the answer is no, which costs time only.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0" or not Path(cpuinfo).exists():
        return False
    flags = Path(cpuinfo).read_text().partition("\nflags")[2].partition("\n")[0].split()
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(flags)


@contextlib.contextmanager
def precision(name="auto"):
    """Keras's dtype policy for the time of a `with`: what is built there computes so."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(choose_precision(name))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
