"""The precision that trains fastest on this machine and loses no quality."""

import contextlib
import os
import platform
from pathlib import Path

import keras
import tensorflow as tf

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
FAMILIES = ("transformer", "rnn_seq2seq")


def choose_precision(name="auto"):
    """The dtype policy that `name` asks for; of "auto", the fastest here.

    Args:
        name: One of PRECISIONS.

    Returns:
        Name of a `keras.DTypePolicy`.
    """
    # Which family it is changes what XLA is worth, not the policy.
    return name if name != "auto" else fastest_setting("transformer")[0]


def fastest_setting(family, few_shapes=False):
    """The dtype policy, and whether to compile with XLA, that trains a family fastest here.

    To be asked before the model is built, which takes the policy of that moment:
    `keras.config.set_dtype_policy(policy)`, then `model.compile(..., jit_compile=jit_compile)`.

    Measured on an AMD EPYC of the Zen 4 kind (AVX-512 with its bfloat16 part, no AMX) with
    TensorFlow 2.21, two threads, `transformer_small` and `rnn_small`, least ms of a step of 64 x
    (32 + 32) tokens on a machine that had other work too; oneDNN held to a set of instructions by
    `ONEDNN_MAX_CPU_ISA`:

    | instructions | Transformer float32 | bfloat16 | RNN float32 | bfloat16 |
    |---|---|---|---|---|
    | all | 962 | 702 | 817 | 591 |
    | `AVX512_CORE` | 930 | 2130 | 896 | 1777 |
    | `AVX2` | 1044 | the process dies | 946 | the process dies |

    XLA in float32 took 1115 and 1164 there, and the Transformer's first two steps 24 s instead of
    15. On the machine of docs/results.md, which has AMX, XLA made it 1.7 times as fast in float32: so
    it is chosen where there is no bfloat16, and shapes are few. No GPU was measured.

    Args:
        family: `"transformer"` or `"rnn_seq2seq"`.
        few_shapes: The batches have few different shapes, so that XLA, which compiles each by
            itself, is worth it.

    Returns:
        `(policy, jit_compile)`: `"float32"`, `"mixed_bfloat16"` or `"mixed_float16"`, and a bool.

    Raises:
        ValueError: There is no such family.

    Example:
        >>> from seq2lite.recipes.precision import fastest_setting
        >>> policy, jit_compile = fastest_setting("rnn_seq2seq")
        >>> jit_compile
        False
    """
    if family not in FAMILIES:
        raise ValueError(f"`family` must be one of {FAMILIES}. Received: {family!r}")
    capability = gpu_capability()
    if capability is not None:
        # Tensor cores multiply float16 from 7.0 (Volta), bfloat16 from 8.0 (Ampere) on.
        if capability >= (8, 0):
            return "mixed_bfloat16", False
        return ("mixed_float16" if capability >= (7, 0) else "float32"), False
    if multiplies_bfloat16():
        return "mixed_bfloat16", False
    return "float32", few_shapes and family == "transformer"


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


def float32_twin(model):
    """A model of the same weights that computes in float32."""
    with precision("float32"):
        twin = type(model).from_config(model.get_config())
    twin.set_weights(model.get_weights())
    return twin
