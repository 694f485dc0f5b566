"""The parity gate: every exported file is compared with Keras."""

import math

from ..quantization.modes import MODES
from ..runtime.checks import quote
from ..runtime.container import describe_search
from ..system.isolation import run_isolated
from .probe import probe

TIMEOUT = 600  # seconds
MAX_SHOWN = 300  # characters of a text in a message
FEW_SENTENCES = 100  # with fewer, one sentence moves chrF by much
UNTRAINED_CHRF = 5  # below it, outputs hardly resemble the references


class ParityError(RuntimeError):
    """The outputs of a file differ from those of Keras by more than the tolerance."""


def check_parity(path, reference, tolerance, search, quantization):
    """Run a file and compare it with Keras.

    Args:
        path: The TFLite file.
        reference: A `KerasReference`.
        tolerance: A `Tolerance`.
        search: dict of `num_beams` and `length_penalty`, the search of the file.
        quantization: The name of its quantization mode.

    Returns:
        The `Parity`, and the outputs of the file (see `probe`).

    Raises:
        ParityError: The file is outside the tolerance. The message states the differences, an example
            and remedies.
    """
    timeout = TIMEOUT + 2 * len(reference.sources)
    outputs = run_isolated(probe, path, timeout=timeout, **reference.inputs(search))
    parity = reference.compare(outputs, search)
    require_within(parity, tolerance, search, quantization)
    return parity, outputs


def require_within(parity, tolerance, search, quantization):
    """Raise ParityError unless `parity` is within `tolerance`."""
    mode = MODES[quantization]
    differences = list(_differences(parity, tolerance, search, mode))
    if differences:
        lines = [
            f"The exported file ({quantization}) must agree with Keras on the "
            f"{parity.num_sentences:,} held-out sentences. Received:",
            *_listed(differences),
            *_example(parity),
            "What to try:",
            *_listed(_advice(parity, tolerance, search, mode)),
        ]
        raise ParityError("\n".join(lines))


def _listed(items):
    return [f"  - {item}" for item in items]


def _differences(parity, tolerance, search, mode):
    """Yield a line for each measure that is outside the tolerance."""
    if not parity.relative_logit_error <= tolerance.logit_error:
        yield (
            f"logits differ by up to {parity.relative_logit_error:.2g} of the largest logit (at most "
            f"{tolerance.logit_error:.2g} allowed), at step {parity.worst_step} of "
            f"{quote(parity.worst_source)}"
        )
    if not parity.token_agreement >= tolerance.token_agreement:
        yield (
            f"the next token equals that of Keras in {parity.token_agreement:.2%} of "
            f"{parity.num_steps:,} steps (at least {tolerance.token_agreement:.2%} required)"
        )
    if not _is_search_close(parity, tolerance):
        found = "in the file finds the target that its own steps give for"
        of = "the sentences"
        if mode.is_static:
            found, of = (
                "over the file finds the tokens of Keras for",
                "the sentences of equal steps",
            )
        yield (
            f"{describe_search(**search)} {found} {parity.search_agreement:.2%} of {of} (at least "
            f"{tolerance.search_agreement:.2%} required)"
        )
    if not _is_chrf_close(parity, tolerance):
        yield (
            f"chrF against the references is {parity.keras_chrf:.2f} for Keras and "
            f"{parity.file_chrf:.2f} for the file (a difference of at most "
            f"{tolerance.chrf_difference:g} allowed)"
        )


def _chrf_difference(parity):
    return abs(parity.keras_chrf - parity.file_chrf)


def _is_chrf_close(parity, tolerance):
    return _chrf_difference(parity) <= tolerance.chrf_difference


def _is_search_close(parity, tolerance):
    agreement = parity.search_agreement
    return agreement is None or agreement >= tolerance.search_agreement


def _is_untrained(parity):
    return parity.keras_chrf < UNTRAINED_CHRF


def _example(parity):
    """Yield the lines of a sentence whose outputs differ. Those of an untrained model say nothing."""
    if parity.example is None or _is_untrained(parity):
        return
    source, expected, found = (_shown(text) for text in parity.example)
    count = round((1 - parity.same_outputs) * parity.num_sentences)
    yield f"{count:,} of {parity.num_sentences:,} outputs differ. The first one:"
    yield f"    source: {source}"
    yield f"    Keras:  {expected}"
    yield f"    file:   {found}"


def _shown(text):
    """Return a text as one line, readable in every script: only characters without a glyph escaped."""
    text = text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return shown or "(empty)"


def _advice(parity, tolerance, search, mode):
    """Yield remedies, that of the most likely cause first."""
    if _is_untrained(parity):
        yield (
            f"Train the model, or load its weights: the outputs of Keras hardly resemble the references "
            f"(chrF {parity.keras_chrf:.2f} of 100). Without training, several tokens are almost equally "
            "probable, and any rounding changes the outputs. Also check that `tokenizer` is that of the "
            "training, and that `held_out` pairs are (source, reference)"
        )
    if not _is_search_close(parity, tolerance):
        yield (
            "Export with num_beams=1 (greedy search). The search in the file is at fault, not its "
            "weights: please report it, with the model's configuration"
            if search["num_beams"] > 1
            else "Please report this, with the model's configuration: the search is at fault, not the "
            "weights of the file"
        )
    elif mode.is_exact and not _is_untrained(parity):
        yield (
            "Look for a layer of your own that computes otherwise in a TFLite file: in float32 only "
            "the order of sums may differ. Compare `encode` and `decode_step` of the file that "
            "export.to_tflite writes with model.encode and model.decode_step"
        )
    if not mode.is_exact:
        coarser = {
            "int4": "mixed",
            "mixed": "int8",
            "int8_static": "int16x8",
            "int16x8": "float32_static",
        }
        finer = coarser.get(mode.name, "float32" if mode.name == "float16" else "float16")
        yield (
            f'Use a mode that rounds less, such as quantization="{finer}". A trained run needs no new '
            f"training: seq2lite export RUN --quantizations {finer}"
        )
    if mode.needs_calibration:
        yield "Pass `calibration`, several hundred source texts of the training data"
    if parity.num_sentences < FEW_SENTENCES and not _is_chrf_close(parity, tolerance):
        yield (
            f"Pass a hundred or more pairs as `held_out`. With {parity.num_sentences}, one sentence "
            "moves chrF by much"
        )
    if math.isfinite(parity.relative_logit_error):
        yield f"If these differences are acceptable, pass {_suggested(parity, tolerance)}"


def _suggested(parity, tolerance):
    """Return the code of the smallest tolerance, with two digits, that accepts these differences."""
    values = {
        "logit_error": max(tolerance.logit_error, _rounded_up(parity.relative_logit_error)),
        "token_agreement": min(tolerance.token_agreement, _rounded_down(parity.token_agreement)),
        "search_agreement": tolerance.search_agreement
        if _is_search_close(parity, tolerance)
        else _rounded_down(parity.search_agreement),
        "chrf_difference": max(tolerance.chrf_difference, _rounded_up(_chrf_difference(parity))),
    }
    arguments = ", ".join(f"{name}={value:g}" for name, value in values.items())
    return f"tolerance=export.Tolerance({arguments})"


def _rounded_up(number):
    digits = 1 - math.floor(math.log10(number)) if number > 0 else 0
    return math.ceil(number * 10**digits) / 10**digits


def _rounded_down(fraction):
    return math.floor(fraction * 100) / 100
