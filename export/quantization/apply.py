"""Quantization of a float32 file: the functions that the table of modes is composed of.

Each takes the file's bytes, a calibration or None, and `modes.Options`. It returns the bytes of the new
file, and the format of each weight by name. Work that runs the file is isolated in a subprocess.
"""

import warnings
from dataclasses import dataclass

from ..runtime.checks import level_of_caller
from ..system.isolation import run_isolated
from ..tflite_file import flatbuffer, rewrites
from ..tflite_file.versions import version_numbers
from .activations import quantize_static
from .calibration import Calibration
from .mixed import choose_formats
from .observe import observe
from .second_moments import second_moments
from .weights import kept_in_float32, store_weights, weights_of

TIMEOUT = 900  # seconds

# The first runtime with one 8-bit scale per row beside float activations.
_PER_ROW_RUNTIME = (2, 18, 0)


@dataclass(frozen=True)
class WeightInputs:
    """Inputs of the functions that choose the format of each weight.

    Attributes:
        content: The bytes of the float32 file.
        calibration: `Calibration`, or None.
        moments: Second moments of the activations, by buffer of the weight; empty without calibration.
        options: `modes.Options`.
    """

    content: bytes
    calibration: Calibration | None
    moments: dict
    options: object


def quantize_weights(content, calibration, options, *, choose=None):
    """Store the weights of a file in other formats; activations stay float32.

    Args:
        content: The bytes of a float32 file.
        calibration: `Calibration`; with None, 4-bit weights are rounded to the nearest value.
        options: `modes.Options`.
        choose: Function of a list of `Weight` and `WeightInputs`. It returns the format of each
            weight, by buffer: see `store_weights`. Default: all stay float32.
    """
    tables = flatbuffer.read(content)
    weights = weights_of(tables)
    moments = {}
    if calibration is not None:
        moments = run_isolated(second_moments, content, calibration, timeout=TIMEOUT)
    choose_all = choose or uniform_formats("float32")
    formats = choose_all(weights, WeightInputs(content, calibration, moments, options))
    kept = kept_in_float32(tables)
    if kept and choose is not None:
        warnings.warn(
            "Only weights that are read by a zoo.TokenEmbedding or by a product of rows can be "
            f"quantized. Kept in float32: {', '.join(kept)}",
            stacklevel=level_of_caller(),
        )
    model = flatbuffer.read(store_weights(content, formats, moments))
    rewrites.drop_unread(model)
    names = {weight.name: weight.stored_as(formats[weight.buffer]) for weight in weights}
    return flatbuffer.write(model), names


def uniform_formats(kind):
    """Return a function that chooses the format `kind` for all weights."""
    return lambda weights, inputs: {weight.buffer: kind for weight in weights}


def eight_bit_formats(weights, inputs):
    """Choose 8 bits for all weights, with one scale per row if `min_runtime` can read that."""
    oldest = inputs.options.min_runtime
    is_old = oldest is not None and version_numbers(oldest) < _PER_ROW_RUNTIME
    return uniform_formats("int8_tensor" if is_old else "int8")(weights, inputs)


def mixed_formats(weights, inputs):
    """Choose 4 bits for as many weights as `max_divergence` allows, 8 bits for the others."""
    arguments = inputs.content, inputs.calibration, inputs.moments, inputs.options.max_divergence
    return run_isolated(choose_formats, *arguments, timeout=TIMEOUT)


def quantize_activations(content, calibration, options, *, bits, clip=True):
    """Store all tensors of a static file as integers.

    Args:
        content: The bytes of a static float32 file.
        calibration: `StaticCalibration`.
        options: `modes.Options`.
        bits: Bits of the activations, 8 or 16; weights have 8.
        clip: As in `quantize_static`.
    """
    observed = run_isolated(observe, content, calibration, timeout=TIMEOUT)
    integer_io = options.integer_io
    return quantize_static(content, observed, bits=bits, integer_io=integer_io, clip=clip), {}


def keep(content, calibration, options):
    """Return the file unchanged."""
    return content, {}
