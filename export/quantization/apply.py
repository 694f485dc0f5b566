"""The quantization ladder: every rung that keeps float activations, made of one float32 file."""

import json
import warnings

import numpy as np

from ..system.atomic import scratch_folder
from ..system.isolation import run_isolated
from ..tflite_file import flatbuffer, rewrites
from ..tflite_file.versions import require_runs_on, version_numbers
from .modes import CALIBRATED, MAX_DIVERGENCE, PER_ROW_RUNTIME
from .weights import kept_in_float32, require_finite, store_weights, weights_of

TIMEOUT = 900  # seconds


def check_weights(model, quantization):
    """Raises ValueError unless every weight of a Keras model is finite in its format."""
    for variable in model.weights:
        require_finite(variable.path, variable.numpy(), quantization)


def quantized(
    content, quantization, calibration=None, max_divergence=MAX_DIVERGENCE, min_runtime=None
):
    """A float32 file with its weights as a quantization has them.

    Args:
        content: The float32 file's bytes.
        quantization: `"float32"`, `"float16"`, `"int8"`, `"int4"` or `"mixed"`.
        calibration: A `Calibration`; `"int4"` and `"mixed"` need it.
        max_divergence: Of `"mixed"`: see `mixture.choose_formats`.
        min_runtime: The oldest runtime that must read it; before 2.18 an 8-bit weight has one scale.

    Returns:
        The new file's bytes, and the format of each weight, by name.

    Raises:
        ValueError: A weight has no finite float16, or is not finite.
        ConversionError: What runs the file has failed, or `max_divergence` cannot be kept.
    """
    tables = flatbuffer.read(content)
    weights, kept = weights_of(tables), kept_in_float32(tables)
    if kept and quantization != "float32":
        warnings.warn(
            "what is to be stored in fewer bits must be looked up by a zoo.TokenEmbedding, and "
            f"multiplied with by rows. Kept in float32: {', '.join(kept)}",
            stacklevel=3,
        )
    kind = quantization
    if (
        kind == "int8"
        and min_runtime is not None
        and version_numbers(min_runtime) < PER_ROW_RUNTIME
    ):
        kind = "int8_tensor"
    moments = None
    if quantization in CALIBRATED:
        with scratch_folder() as folder:
            file, inputs = folder / "float32.tflite", folder / "calibration.npz"
            moments_file, output = folder / "moments.npz", folder / "formats.json"
            file.write_bytes(content)
            calibration.save(inputs)
            run_isolated("quantization.second_moments", file, inputs, moments_file, timeout=TIMEOUT)
            with np.load(moments_file) as arrays:
                moments = {int(buffer): moment for buffer, moment in arrays.items()}
            if quantization == "mixed":
                run_isolated(
                    "quantization.mixed",
                    file,
                    inputs,
                    moments_file,
                    max_divergence,
                    output,
                    timeout=TIMEOUT,
                )
                chosen = json.loads(output.read_text())["formats"]
    formats = {
        weight.buffer: chosen[str(weight.buffer)] if quantization == "mixed" else kind
        for weight in weights
    }
    names = {weight.name: weight.stored_as(formats[weight.buffer]) for weight in weights}
    model = flatbuffer.read(store_weights(content, formats, moments))
    rewrites.drop_unread(model)
    file = flatbuffer.write(model)
    require_runs_on(file, min_runtime)
    return file, names
