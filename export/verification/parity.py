"""The parity gate: every exported file is compared with Keras."""

from ..system.isolation import run_isolated
from .probe import probe

TIMEOUT = 600  # seconds


class ParityError(RuntimeError):
    """The outputs of a file differ from those of Keras by more than the tolerance."""


def check_parity(path, reference, tolerance):
    """Run a file and compare it with Keras.

    Args:
        path: The TFLite file.
        reference: A `KerasReference`.
        tolerance: A `Tolerance`.

    Returns:
        The `Parity`, and the outputs of the file (see `probe`).

    Raises:
        ParityError: The file is outside the tolerance; the message names where and by how much.
    """
    timeout = TIMEOUT + 2 * len(reference.sources)
    outputs = run_isolated(probe, path, timeout=timeout, **reference.inputs)
    parity = reference.compare(outputs)
    require_within(parity, tolerance)
    return parity, outputs


def require_within(parity, tolerance):
    """Raise ParityError unless `parity` is within `tolerance`."""
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
            f"The exported file must agree with Keras. Received: {'; '.join(failures)}. Try another "
            "quantization mode, more held-out pairs, or a larger `tolerance`"
        )
