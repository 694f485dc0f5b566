"""The parity gate: a file is compared with Keras before anybody gets it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..system.isolation import run_isolated

TIMEOUT = 600  # seconds


class ParityError(RuntimeError):
    """A file's answers differ from Keras's beyond the tolerance."""


@dataclass(frozen=True)
class Tolerance:
    """How far a file may be from Keras.

    Attributes:
        logit_error: Greatest |file - Keras| of any logit, as a part of the greatest |logit|.
        token_agreement: Least part of steps that choose the same token after the same tokens.
        generate_agreement: Of the sentences whose every step does, the least part that `generate`,
            which runs the same steps by itself, gives as Keras does.
        chrf_difference: Most that the corpus chrF (0 to 100, against the references) may differ.
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
        The `Parity`, and the file's answers.

    Raises:
        ParityError: The file is beyond the tolerance; the message says where and by how much.
    """
    inputs, outputs = Path(path).with_suffix(".in.npz"), Path(path).with_suffix(".out.npz")
    reference.save_inputs(inputs)
    run_isolated(
        "verification.probe", path, inputs, outputs, timeout=TIMEOUT + 2 * len(reference.sources)
    )
    answers = dict(np.load(outputs))
    parity = reference.compare(answers)
    require_within(parity, tolerance)
    return parity, answers


def require_within(parity, tolerance):
    """Raises ParityError unless `parity` is within `tolerance`."""
    chrf_difference = abs(parity.keras_chrf - parity.file_chrf)
    failures = []
    if not parity.relative_logit_error <= tolerance.logit_error:
        failures.append(
            f"logits differ by up to {parity.max_logit_error:.3g}, "
            f"{parity.relative_logit_error:.2g} of the greatest (at most "
            f"{tolerance.logit_error:.2g}), most at {parity.worst}"
        )
    if not parity.token_agreement >= tolerance.token_agreement:
        failures.append(
            f"{parity.token_agreement:.2%} of {parity.num_steps} steps choose Keras's token "
            f"(at least {tolerance.token_agreement:.2%}); the logits differ most at {parity.worst}; "
            f"outputs first at {parity.first_difference}"
        )
    if not parity.generate_agreement >= tolerance.generate_agreement:
        failures.append(
            f"`generate` gives {parity.generate_agreement:.2%} of the sentences whose every step "
            f"chooses Keras's token (at least {tolerance.generate_agreement:.2%}), and not "
            f"{parity.first_difference}"
        )
    if not chrf_difference <= tolerance.chrf_difference:
        failures.append(
            f"chrF differs by {chrf_difference:.2f}: {parity.keras_chrf:.2f} of Keras, "
            f"{parity.file_chrf:.2f} of the file (at most {tolerance.chrf_difference}); outputs "
            f"differ first at {parity.first_difference}"
        )
    if failures:
        raise ParityError(
            "The exported file must answer like Keras. Received: " + "; ".join(failures)
        )
