"""Compute dtype of a training."""

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")


def choose_precision(name: str = "auto") -> str:
    """Return the Keras dtype policy for a precision; for `"auto"`, the fastest on this machine.

    Measured on an AMD EPYC (Zen 4: AVX-512 with `avx512_bf16`, no AMX) with TensorFlow 2.21 and two
    threads: minimum time in ms of a training step of 64 x (32 + 32) tokens, on a machine that also
    ran other work. `ONEDNN_MAX_CPU_ISA` restricted oneDNN to an instruction set.

    | instruction set | `transformer_small` float32 | bfloat16 | `rnn_small` float32 | bfloat16 |
    |---|---|---|---|---|
    | all | 962 | 702 | 817 | 591 |
    | `AVX512_CORE` | 930 | 2130 | 896 | 1777 |
    | `AVX2` | 1044 | crash | 946 | crash |

    With XLA, float32 took 1115 and 1164 ms. Under JAX, which always compiles with XLA, bfloat16 took
    1.06 and 1.21 times as long as float32 (another machine, with AMX; minimum of 6 runs on one busy
    core), so `"auto"` is float32 there. No GPU was measured; under JAX none is considered.

    Args:
        name: One of PRECISIONS. Default: `"auto"`.

    Returns:
        Name of a `keras.DTypePolicy`.

    Example:
        >>> from seq2lite.recipes.distributed.precision import choose_precision
        >>> choose_precision("float32")
        'float32'
    """
    if name != "auto":
        return name
    if keras.backend.backend() != "tensorflow":
        return "float32"
    capability = gpu_capability()
    if capability is None:
        return "mixed_bfloat16" if multiplies_bfloat16() else "float32"
    # Tensor cores multiply float16 from 7.0 (Volta) and bfloat16 from 8.0 (Ampere).
    if capability >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if capability >= (7, 0) else "float32"


def gpu_capability() -> tuple[int, int] | None:
    """Return the minimum compute capability of all GPUs, such as (8, 0); None without a GPU."""
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return min((each.get("compute_capability", (0, 0)) for each in details), default=None)


def multiplies_bfloat16(cpuinfo: str | os.PathLike = "/proc/cpuinfo") -> bool:
    """Return whether the processor has bfloat16 instructions that TensorFlow uses.

    TensorFlow uses them through oneDNN, on x86-64 with AMX or `avx512_bf16`. Only Linux lists the
    instructions, in a file. Elsewhere the answer is no, which costs only time.

    Args:
        cpuinfo: File that lists the processor's flags.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0" or not Path(cpuinfo).exists():
        return False
    flags = Path(cpuinfo).read_text().partition("\nflags")[2].partition("\n")[0].split()
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(flags)


@contextlib.contextmanager
def precision(name: str = "auto") -> Iterator[None]:
    """Set Keras's dtype policy for the time of a `with`: models built in it compute in it.

    Args:
        name: One of PRECISIONS, or any Keras dtype policy. Default: `"auto"`.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(choose_precision(name))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
