"""The table of quantization modes.

A mode is one entry of `MODES`. Export functions, parity, reports and command lines look it up there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..runtime.container import BundleError
from ..runtime.interpreter import open_interpreter
from ..system.isolation import ConversionError
from ..tflite_file.flatbuffer import MAX_SIZE
from ..tflite_file.targets import check_target
from ..tflite_file.versions import require_runs_on
from . import apply

# Nats per token. For a trained translator it costs a few tenths of a BLEU point: docs/results.md.
MAX_DIVERGENCE = 0.005


@dataclass(frozen=True)
class Tolerance:
    """Maximum differences between a file and Keras.

    Attributes:
        logit_error: Maximum absolute logit difference, relative to the largest absolute logit.
        token_agreement: Minimum fraction of teacher-forced steps with the same most probable token.
        search_agreement: Minimum fraction of sentences for which the search in the file finds the
            target that the same search on the host finds over the file's steps. Of a static file:
            see `Parity`.
        chrf_difference: Maximum difference of the corpus chrF (0 to 100) against the references.
    """

    logit_error: float
    token_agreement: float
    search_agreement: float
    chrf_difference: float


@dataclass(frozen=True)
class Options:
    """Settings of a quantization, which each mode reads or ignores.

    Attributes:
        max_divergence: Maximum loss of a file with mixed formats, in nats per token: see
            `mixed.choose_formats`.
        min_runtime: Version of the oldest TFLite runtime that must run the file, or None.
        integer_io: Whether the signatures of an integer file take and return integers.
        target: Name of the device target that must support the file, or None.
    """

    max_divergence: float = MAX_DIVERGENCE
    min_runtime: str | None = None
    integer_io: bool = False
    target: str | None = None


@dataclass(frozen=True)
class Mode:
    """A quantization mode.

    Attributes:
        name: Its name, the key in `MODES`.
        weights: Format of the weights, in words.
        activations: Format of the activations, in words.
        weight_bits: Bits of a weight, at least: they decide which models fit into a file.
        quantize: Function of a float32 file's bytes, a calibration (None if the mode needs none) and
            `Options`. It returns the new bytes, and the format of each weight by name.
        tolerance: Default `Tolerance` of the parity check.
        min_runtime: Version of the oldest TFLite runtime that its files can run on.
        is_static: The float32 file has `encode` and `decode_step` of static shapes, and the search
            runs on the host. Otherwise shapes are dynamic, and the file contains the search.
        needs_calibration: `quantize` needs a calibration on real sources: a `StaticCalibration` if
            the mode is static, otherwise a `Calibration`.
        has_integer_io: Whether signatures can take and return integers.
        is_exact: Nothing is rounded to fewer bits than float32, so all devices generate the same tokens.
        max_weight: Largest absolute value that a weight may have.
    """

    name: str
    weights: str
    activations: str
    weight_bits: int
    quantize: Callable
    tolerance: Tolerance
    min_runtime: tuple = (2, 9)
    is_static: bool = False
    needs_calibration: bool = False
    has_integer_io: bool = False
    is_exact: bool = False
    max_weight: float = float(np.finfo(np.float32).max)

    @property
    def target(self):
        """Name of the device target that its float32 files are converted for by default."""
        return "portable" if self.is_static else "cpu"


_DYNAMIC_RANGE = "float32, quantized at each product"
_MODES = (
    Mode(
        name="float32",
        weights="float32",
        activations="float32",
        weight_bits=32,
        quantize=apply.quantize_weights,
        tolerance=Tolerance(1e-4, 0.999, 1.0, 0.1),  # a different order of summation
        is_exact=True,
    ),
    Mode(
        name="float16",
        weights="float16",
        activations="float32",
        weight_bits=16,
        quantize=partial(apply.quantize_weights, choose=apply.uniform_formats("float16")),
        tolerance=Tolerance(1e-2, 0.98, 0.9, 0.3),
        max_weight=float(np.finfo(np.float16).max),
    ),
    Mode(
        name="int8",
        weights="int8, one scale per row",
        activations=_DYNAMIC_RANGE,
        weight_bits=8,
        quantize=partial(apply.quantize_weights, choose=apply.eight_bit_formats),
        tolerance=Tolerance(0.1, 0.9, 0.9, 1.0),
    ),
    Mode(
        name="int4",
        weights="int4, one scale per 32 values of a row",
        activations=_DYNAMIC_RANGE,
        weight_bits=4,
        quantize=partial(apply.quantize_weights, choose=apply.uniform_formats("int4")),
        tolerance=Tolerance(0.5, 0.8, 0.8, 1.5),
        min_runtime=(2, 20),
        needs_calibration=True,
    ),
    Mode(
        name="mixed",
        weights="int4, and int8 where int4 loses most",
        activations=_DYNAMIC_RANGE,
        weight_bits=4,
        quantize=partial(apply.quantize_weights, choose=apply.mixed_formats),
        tolerance=Tolerance(0.4, 0.85, 0.8, 1.5),
        min_runtime=(2, 20),
        needs_calibration=True,
    ),
    Mode(
        name="float32_static",
        weights="float32",
        activations="float32",
        weight_bits=32,
        quantize=apply.keep,
        tolerance=Tolerance(1e-4, 0.999, 1.0, 0.1),
        min_runtime=(1, 0),
        is_static=True,
        is_exact=True,
    ),
    Mode(
        name="int8_static",
        weights="int8, one scale per row",
        activations="int8, one scale per tensor",
        weight_bits=8,
        quantize=partial(apply.quantize_activations, bits=8),
        tolerance=Tolerance(1.0, 0.75, 0.7, 2.0),
        min_runtime=(2, 17),
        is_static=True,
        needs_calibration=True,
        has_integer_io=True,
    ),
    Mode(
        name="int16x8",
        weights="int8, one scale per row",
        activations="int16, one scale per tensor",
        weight_bits=8,
        quantize=partial(apply.quantize_activations, bits=16),
        tolerance=Tolerance(0.3, 0.9, 0.8, 1.5),
        min_runtime=(2, 17),
        is_static=True,
        needs_calibration=True,
        has_integer_io=True,
    ),
)
MODES = {mode.name: mode for mode in _MODES}
QUANTIZATIONS = tuple(MODES)


def quantize(content, quantization, calibration=None, **options):
    """Quantize a float32 file.

    Args:
        content: The bytes of the file: of a static one if the mode is static.
        quantization: Name of a mode.
        calibration: `Calibration` or `StaticCalibration`, if the mode needs one.
        options: Fields of `Options`.

    Returns:
        The bytes of the new file, and the format of each weight by name.

    Raises:
        ValueError: A weight is not finite in its format.
        ConversionError: The file cannot be opened, is too large, an op has no integer kernel, or
            `max_divergence`, `min_runtime` or `target` cannot be kept.
    """
    mode, options = MODES[quantization], Options(**options)
    calibration = calibration if mode.needs_calibration else None
    result, formats = mode.quantize(content, calibration, options)
    if len(result) > MAX_SIZE:
        raise ConversionError(
            f"A file must have at most {MAX_SIZE:,} bytes. Received: {len(result):,} bytes with "
            f"quantization={quantization!r}"
        )
    require_runs_on(result, options.min_runtime)
    if options.target is not None:
        check_target(result, options.target)
    try:
        open_interpreter(result, 1, "The exported file")
    except BundleError as error:
        raise ConversionError(str(error)) from error
    return result, formats
