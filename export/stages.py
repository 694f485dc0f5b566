"""The stages of `to_bundle`: prepared, converted, quantized, verified, measured, written.

Each is a function from one frozen dataclass to the next. Before them, the Keras model computes the
reference and is saved as SavedModels. From there, only files and dataclasses travel.
"""

import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from . import static
from .conversion.converter import convert_saved
from .conversion.saved_model import save
from .measurement.measure import measure_file, measure_speed
from .measurement.size import size_by_part
from .quantization.calibration import Calibration, StaticCalibration
from .quantization.modes import MODES, Tolerance
from .quantization.modes import quantize as quantize_file
from .report import Report, report_parts
from .runtime.container import (
    MODEL_FILE,
    TARGET_TOKENIZER_FILE,
    TOKENIZER_FILE,
    is_zip,
    write_container,
)
from .runtime.text import pad, source_ids
from .runtime.tokenizer import Tokenizers
from .signatures.dynamic import Signatures
from .signatures.sentencepiece import TextGraph
from .signatures.static import StaticSignatures
from .system.atomic import write_atomically
from .tflite_file.metadata import with_metadata
from .tflite_file.signatures import describe_signatures
from .tflite_file.targets import check_target
from .tflite_file.versions import required_runtime
from .verification.parity import check_parity
from .verification.probe import search_all
from .verification.reference import KerasReference, Parity

SAVED_MODEL, STATIC_SAVED_MODEL = "saved_model", "static_saved_model"  # in the scratch folder
NUM_GOLDEN = 8  # sentences
NUM_GOLDEN_LOGITS = 10  # of each sentence


@dataclass(frozen=True)
class Options:
    """The checked arguments of `to_bundle`, with two facts in place of the model.

    Attributes:
        name: str, the name of the model.
        num_parameters: int, its number of parameters.
        paths: dict of quantization mode to the Path of its bundle.
        limits: dict of `max_source_length` and `max_target_length`.

    The others are documented in `to_bundle`.
    """

    name: str
    num_parameters: int
    paths: dict
    limits: dict
    tokenizers: Tokenizers
    held_out: list
    languages: tuple | None
    num_beams: int | None
    length_penalty: float
    text: bool
    integer_io: bool
    calibration: list | None
    max_divergence: float
    min_runtime: str | None
    tolerance: Tolerance | None
    measure: bool

    def needs(self, *, is_static, calibration=False):
        """Whether a requested mode starts from files of a kind, or needs their calibration."""
        modes = [MODES[name] for name in self.paths if MODES[name].is_static == is_static]
        return any(mode.needs_calibration or not calibration for mode in modes)


@dataclass(frozen=True)
class Prepared:
    """Everything that was computed from the Keras model.

    Attributes:
        options: The `Options`.
        folder: Path of the scratch folder, with the SavedModels.
        reference: The `KerasReference` that files are compared with.
        description: dict, the entries of bundle.json that come from the model.
        calibration: `Calibration` of files with dynamic shapes. None if no mode needs it.
        static_calibration: `StaticCalibration` of files with static shapes. None if no mode needs it.
    """

    options: Options
    folder: Path
    reference: KerasReference
    description: dict
    calibration: Calibration | None
    static_calibration: StaticCalibration | None


@dataclass(frozen=True)
class Converted:
    """The float32 files that all quantization modes start from; None where no mode does."""

    prepared: Prepared
    dynamic: bytes | None
    static: bytes | None


@dataclass(frozen=True)
class Quantized:
    """A file of one quantization mode, complete with metadata, in the scratch folder."""

    prepared: Prepared
    quantization: str
    file: Path
    content: bytes
    formats: dict
    description: dict


@dataclass(frozen=True)
class Verified:
    """A file that answers like Keras, within `tolerance`, and its answers for golden.json."""

    quantized: Quantized
    tolerance: Tolerance
    parity: Parity
    golden: dict


@dataclass(frozen=True)
class Measured:
    """A verified file and its `Report`."""

    verified: Verified
    report: Report


def save_signatures(model, options, folder):
    """Save the signatures of a float32 model that the requested files need, as SavedModels."""
    has_search = options.needs(is_static=False)
    if has_search or options.measure:
        text = TextGraph(options.tokenizers) if options.text and has_search else None
        search = options.num_beams, options.length_penalty
        save(Signatures(model, *search, text, options.limits), folder / SAVED_MODEL)
    if options.needs(is_static=True):
        save(StaticSignatures(model, **options.limits, batch=1), folder / STATIC_SAVED_MODEL)


def prepare(reference, options, folder):
    """Collect everything that the other stages need, and the calibration data."""
    return Prepared(
        options=options,
        folder=folder,
        reference=reference,
        description={
            "name": options.name,
            **options.limits,
            **options.tokenizers.vocabulary,
            "normalization": "NFC",
            "languages": list(options.languages) if options.languages else None,
        },
        calibration=_calibration(reference, options),
        static_calibration=_static_calibration(reference, options),
    )


def _calibration(reference, options):
    if not options.needs(is_static=False, calibration=True):
        return None
    source, lengths = reference.source, reference.lengths
    tokens, token_lengths = reference.tokens, reference.token_lengths
    if options.calibration is not None:
        max_length = options.limits["max_source_length"]
        ids = source_ids(options.tokenizers.source, options.calibration, max_length)
        ids = sorted(filter(None, ids), key=len, reverse=True)
        source, lengths = pad(ids, reference.padding), np.array([len(row) for row in ids])
        generate_ids = reference.runner.generate_ids
        tokens, token_lengths = search_all(generate_ids, source, lengths, reference.max_length)
    return Calibration.of(source, lengths, tokens, token_lengths, reference.ids["start_id"])


def _static_calibration(reference, options):
    if not options.needs(is_static=True, calibration=True):
        return None
    texts = reference.sources if options.calibration is None else options.calibration
    return static.calibrate(options.tokenizers.source, texts, options.limits, reference.ids)


def convert(prepared):
    """Convert each SavedModel once, whatever the number of quantization modes."""
    dynamic_file = static_file = None
    if prepared.options.needs(is_static=False):
        dynamic_file = convert_saved(prepared.folder / SAVED_MODEL)
    if prepared.options.needs(is_static=True):
        static_file = convert_saved(prepared.folder / STATIC_SAVED_MODEL, "portable")
    return Converted(prepared, dynamic_file, static_file)


def quantize(converted, quantization):
    """Quantize a float32 file, and add its metadata and tokenizer."""
    prepared, is_static = converted.prepared, MODES[quantization].is_static
    options = prepared.options
    content, formats = quantize_file(
        converted.static if is_static else converted.dynamic,
        quantization,
        prepared.static_calibration if is_static else prepared.calibration,
        max_divergence=options.max_divergence,
        min_runtime=options.min_runtime,
        integer_io=options.integer_io,
    )
    description = {
        **prepared.description,
        "quantization": quantization,
        "num_parameters": options.num_parameters,
    }
    content = with_metadata(content, description, options.tokenizers)
    file = prepared.folder / quantization / MODEL_FILE
    file.parent.mkdir()
    file.write_bytes(content)
    return Quantized(prepared, quantization, file, content, formats, description)


def verify(quantized):
    """Compare a file with Keras; raise ParityError beyond the tolerance."""
    reference = quantized.prepared.reference
    tolerance = quantized.prepared.options.tolerance or MODES[quantized.quantization].tolerance
    parity, answers = check_parity(quantized.file, reference, tolerance)
    return Verified(quantized, tolerance, parity, _golden(reference, answers))


def _golden(reference, answers):
    """Sentences with the answers of the file itself, which a device must reproduce."""
    sentences = []
    for row in range(min(NUM_GOLDEN, len(answers["logits"]))):
        logits = answers["logits"][row, 0]
        highest = np.argsort(-logits, kind="stable")[:NUM_GOLDEN_LOGITS]
        length = int(answers["token_lengths"][row])
        sentences.append(
            {
                "text": reference.sources[row],
                "source": reference.source[row, : reference.lengths[row]].tolist(),
                "tokens": answers["tokens"][row, :length].tolist(),
                "first_logits": {str(i): float(logits[i]) for i in highest},
            }
        )
    return {"max_length": reference.max_length, "sentences": sentences}


def measure(verified):
    """Report on all verified files; measure speed and memory unless `measure=False`."""
    prepared = verified[0].quantized.prepared
    reference, options = prepared.reference, prepared.options
    keras_speed = (
        measure_speed(prepared.folder / SAVED_MODEL, reference) if options.measure else None
    )
    return [
        Measured(
            each,
            Report(
                path=options.paths[each.quantized.quantization],
                quantization=each.quantized.quantization,
                num_parameters=options.num_parameters,
                file_size=len(each.quantized.content),
                min_runtime=required_runtime(each.quantized.content),
                formats=each.quantized.formats,
                ops=dict(sorted(check_target(each.quantized.content, "cpu").items())),
                parts=size_by_part(each.quantized.content),
                parity=each.parity,
                tolerance=each.tolerance,
                measurements=(
                    measure_file(each.quantized.file, keras_speed, reference)
                    if options.measure
                    else None
                ),
                calibrated_on=_calibrated_on(each.quantized.quantization, options),
            ),
        )
        for each in verified
    ]


def _calibrated_on(quantization, options):
    if not MODES[quantization].needs_calibration:
        return None
    return "the held-out sentences" if options.calibration is None else "other sentences"


def write(measured):
    """Write all bundles; return their reports by quantization mode."""
    reports = {each.report.quantization: each.report for each in measured}
    for each in measured:
        quantized, report = each.verified.quantized, each.report
        description = {
            **quantized.description,
            "signatures": describe_signatures(quantized.content),
            "min_runtime": report.min_runtime,
            "is_measured": report.measurements is not None,
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("seq2lite", "tensorflow", "keras")},
            },
        }
        parts = {
            MODEL_FILE: quantized.content,
            **_tokenizer_parts(quantized.prepared.options.tokenizers),
            "golden.json": (
                json.dumps(each.verified.golden, ensure_ascii=False, indent=1) + "\n"
            ).encode(),
            **report_parts(report, reports.values()),
        }
        _write_bundle(report.path, description, parts)
    return reports


def _tokenizer_parts(tokenizers):
    parts = {TOKENIZER_FILE: tokenizers.source.model_bytes}
    if not tokenizers.are_shared:
        parts[TARGET_TOKENIZER_FILE] = tokenizers.target.model_bytes
    return parts


def _write_bundle(path, description, parts):
    write_atomically(path, lambda made: write_container(made, description, parts, is_zip(path)))
