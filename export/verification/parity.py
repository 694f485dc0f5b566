"""The parity gate: every exported file is compared with Keras."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..system.isolation import run_isolated

TIMEOUT = 600  # seconds


class ParityError(RuntimeError):
    """The outputs of a file differ from those of Keras by more than the tolerance."""


@dataclass(frozen=True)
class Tolerance:
    """Maximum differences between a file and Keras.

    Attributes:
        logit_error: Maximum absolute logit difference, relative to the largest absolute logit.
        token_agreement: Minimum fraction of teacher-forced steps with the same most probable token.
        generate_agreement: Minimum fraction of equal `generate` outputs, among sentences whose
            teacher-forced steps all agree.
        chrf_difference: Maximum difference of the corpus chrF (0 to 100) against the references.
    """

    logit_error: float
    token_agreement: float
    generate_agreement: float
    chrf_difference: float


# float32: rounding in another order. float16: 11 bits of mantissa. int8: 8 bits a weight, and 8 of
# each activation, rounded anew at each product. int4: 4 bits a weight.
TOLERANCES = {
    "float32": Tolerance(1e-4, 0.999, 1.0, 0.1),
    "float16": Tolerance(1e-2, 0.98, 0.9, 0.3),
    "int8": Tolerance(0.1, 0.9, 0.9, 1.0),
    "int4": Tolerance(0.5, 0.8, 0.8, 1.5),
    "int8_static": Tolerance(1.0, 0.75, 0.7, 2.0),
    "int16x8": Tolerance(0.3, 0.9, 0.8, 1.5),
    "mixed": Tolerance(0.4, 0.85, 0.8, 1.5),
}


def check_parity(path, reference, tolerance):
    """Runs a file and compares it with Keras.

    Args:
        path: The TFLite file.
        reference: A `KerasReference`.
        tolerance: A `Tolerance`.

    Returns:
        The `Parity`, and the outputs of the file (see `probe`).

    Raises:
        ParityError: The file is outside the tolerance; the message names where and by how much.
    """
    inputs, results = Path(path).with_suffix(".in.npz"), Path(path).with_suffix(".out.npz")
    reference.save_inputs(inputs)
    run_isolated(
        "verification.probe", path, inputs, results, timeout=TIMEOUT + 2 * len(reference.sources)
    )
    outputs = dict(np.load(results))
    parity = reference.compare(outputs)
    require_within(parity, tolerance)
    return parity, outputs


def require_within(parity, tolerance):
    """Raises ParityError unless `parity` is within `tolerance`."""
    chrf_difference = abs(parity.keras_chrf - parity.file_chrf)
    failures = []
    if not parity.relative_logit_error <= tolerance.logit_error:
        failures.append(
            f"logits differ by up to {parity.max_logit_error:.3g}, "
            f"{parity.relative_logit_error:.2g} of the largest (at most "
            f"{tolerance.logit_error:.2g} allowed), at {parity.worst}"
        )
    if not parity.token_agreement >= tolerance.token_agreement:
        failures.append(
            f"{parity.token_agreement:.2%} of {parity.num_steps} steps predict the token of Keras "
            f"(at least {tolerance.token_agreement:.2%} required); the largest logit difference is at "
            f"{parity.worst}; the first different output: {parity.first_difference}"
        )
    if not parity.generate_agreement >= tolerance.generate_agreement:
        failures.append(
            f"`generate` equals Keras for {parity.generate_agreement:.2%} of the sentences whose "
            f"steps all agree (at least {tolerance.generate_agreement:.2%} required); the first "
            f"different output: {parity.first_difference}"
        )
    if not chrf_difference <= tolerance.chrf_difference:
        failures.append(
            f"chrF differs by {chrf_difference:.2f} (at most {tolerance.chrf_difference} allowed): "
            f"{parity.keras_chrf:.2f} for Keras, {parity.file_chrf:.2f} for the file; the first "
            f"different output: {parity.first_difference}"
        )
    if failures:
        raise ParityError(
            "The exported file must agree with Keras. Received: " + "; ".join(failures)
        )
