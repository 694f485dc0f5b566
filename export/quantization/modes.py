"""The quantization modes."""

from ..tflite_file.version_tables import INTEGER_RUNTIME
from ..tflite_file.versions import require_version

INTEGER_MODES = ("int8_static", "int16x8")


MODES = ("float32", *INTEGER_MODES)


BITS = {"int8_static": 8, "int16x8": 16}  # of activations


QUANTIZATIONS = ("float32", "float16", "int8", "int4", "mixed")


# Nats a token. Of a trained translator it is a few tenths of a BLEU point: docs/results.md.
MAX_DIVERGENCE = 0.005


CALIBRATED = ("int4", "mixed")  # what needs real text


# First runtimes to read a scale a row beside float activations, and blocks of 4 bits.
PER_ROW_RUNTIME, BLOCKS_RUNTIME, LEAST_RUNTIME = (2, 18), (2, 20), (2, 9)


def check_quantization(
    quantization, max_divergence=MAX_DIVERGENCE, min_runtime=None, among=QUANTIZATIONS
):
    """Raises ValueError unless there is such a rung, and the oldest runtime can have it."""
    if quantization not in among:
        raise ValueError(f"`quantization` must be one of {among}. Received: {quantization!r}")
    if not (isinstance(max_divergence, (int, float)) and max_divergence > 0):
        raise ValueError(
            f"`max_divergence` must be a positive number. Received: {max_divergence!r}"
        )
    least = BLOCKS_RUNTIME if quantization in CALIBRATED else LEAST_RUNTIME
    if quantization not in QUANTIZATIONS:
        least = INTEGER_RUNTIME
    require_version(min_runtime, least, f"quantization={quantization!r}")
