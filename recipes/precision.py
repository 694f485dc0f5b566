"""The precision that trains fastest on this machine and loses no quality."""

import contextlib
from pathlib import Path

import keras

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")


def choose_precision(name="auto"):
    """The dtype policy that `name` asks for; of "auto", the fastest here.

    Args:
        name: One of PRECISIONS.

    Returns:
        Name of a `keras.DTypePolicy`.
    """
    if name != "auto":
        return name
    flags = Path("/proc/cpuinfo")
    return "mixed_bfloat16" if flags.exists() and "amx_bf16" in flags.read_text() else "float32"


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
