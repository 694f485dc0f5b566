"""The stages of `to_bundle`: prepared, converted, quantized, verified, measured, written.

The Keras model runs in the first stage and before it: it computes the reference and is saved as
SavedModels. Each later stage takes the frozen dataclass of the previous stage, or a list of them, and
uses files of the scratch folder.
"""

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from . import static
from .conversion.converter import convert_saved
from .conversion.saved_model import save
from .measurement.measure import measure_file, measure_speed
from .measurement.size import size_by_part
from .quantization.calibration import Calibration
from .quantization.modes import MODES, Tolerance
from .quantization.modes import quantize as quantize_file
from .report import Report, report_parts
from .runtime.container import MODEL_FILE, is_zip, write_container
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
SAVED_MODELS = {False: SAVED_MODEL, True: STATIC_SAVED_MODEL}  # by whether shapes are static
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
    held_out: Sequence
    languages: Sequence | None
    num_beams: int
    length_penalty: float
    text: bool
    max_text_bytes: int
    attention: bool
    integer_io: bool
    calibration: Sequence | None
    max_divergence: float
    min_runtime: str | None
    target: str | None
    tolerance: Tolerance | None
    measure: bool

    def search(self, quantization):
        """Return the search of a bundle, its entry `search`; static files are searched greedily."""
        num_beams = 1 if MODES[quantization].is_static else self.num_beams
        return {"num_beams": num_beams, "length_penalty": self.length_penalty}

    def searches(self):
        """Return the search of each bundle."""
        return [self.search(name) for name in self.paths]

    def modes(self, *, is_static):
        """Return the requested modes that start from static files, or from the others."""
        return [MODES[name] for name in self.paths if MODES[name].is_static == is_static]

    def needs(self, *, is_static, calibration=False):
        """Return whether a requested mode starts from files of a kind, or needs their calibration."""
        modes = self.modes(is_static=is_static)
        return any(mode.needs_calibration or not calibration for mode in modes)


@dataclass(frozen=True)
class Prepared:
    """Everything that was computed from the Keras model.

    Attributes:
        options: The `Options`.
        folder: Path of the scratch folder, with the SavedModels.
        reference: The `KerasReference` that files are compared with.
        description: dict, the entries of bundle.json that come from the model.
        calibrations: dict of whether a file is static to its `StaticCalibration` or `Calibration`. None
            if no mode needs it.
    """

    options: Options
    folder: Path
    reference: KerasReference
    description: dict
    calibrations: dict


@dataclass(frozen=True)
class Converted:
    """The float32 files that all quantization modes start from, by whether they are static."""

    prepared: Prepared
    files: dict


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
    signatures, has_search = {}, options.needs(is_static=False)
    if has_search or options.measure:
        text = TextGraph(options.tokenizers) if options.text and has_search else None
        search = options.num_beams, options.length_penalty
        limits = {**options.limits, "max_text_bytes": options.max_text_bytes}
        signatures[SAVED_MODEL] = Signatures(model, *search, text, limits, options.attention)
    if options.needs(is_static=True):
        signatures[STATIC_SAVED_MODEL] = StaticSignatures(
            model, **options.limits, batch=1, attention=options.attention
        )
    for name, module in signatures.items():
        save(module, folder / name)


def prepare(reference, options, folder):
    """Collect everything that the other stages need, and the calibration data."""
    padding = reference.padding
    return Prepared(
        options=options,
        folder=folder,
        reference=reference,
        description={
            "name": options.name,
            **options.limits,
            **options.tokenizers.vocabulary,
            **({} if padding == reference.ids["pad_id"] else {"padding": padding}),
            "normalization": "NFC",
            "languages": list(options.languages) if options.languages else None,
        },
        calibrations={
            False: _calibration(reference, options),
            True: _static_calibration(reference, options),
        },
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
        search = reference.runner.engine.greedy
        tokens, token_lengths = search_all(search, source, lengths, reference.max_length)
    return Calibration.of(source, lengths, tokens, token_lengths, reference.ids["start_id"])


def _static_calibration(reference, options):
    if not options.needs(is_static=True, calibration=True):
        return None
    texts = reference.sources if options.calibration is None else options.calibration
    tokenizer, limits = options.tokenizers.source, options.limits
    return static.calibrate(tokenizer, texts, limits, reference.ids, reference.padding)


def convert(prepared):
    """Convert each SavedModel once, whatever the number of quantization modes."""
    options, files = prepared.options, {}
    for is_static, name in SAVED_MODELS.items():
        if modes := options.modes(is_static=is_static):
            target = options.target or modes[0].target  # the same for all modes of a kind
            files[is_static] = convert_saved(prepared.folder / name, target)
    return Converted(prepared, files)


def quantize(converted, quantization):
    """Quantize a float32 file, and add its metadata and tokenizer."""
    prepared, is_static = converted.prepared, MODES[quantization].is_static
    options = prepared.options
    content, formats = quantize_file(
        converted.files[is_static],
        quantization,
        prepared.calibrations[is_static],
        max_divergence=options.max_divergence,
        min_runtime=options.min_runtime,
        integer_io=options.integer_io,
        target=options.target,
    )
    description = {
        **prepared.description,
        "quantization": quantization,
        "search": options.search(quantization),
        "num_parameters": options.num_parameters,
    }
    if options.text and not is_static:
        description["max_text_bytes"] = options.max_text_bytes
    content = with_metadata(content, description, options.tokenizers)
    file = prepared.folder / quantization / MODEL_FILE
    file.parent.mkdir()
    file.write_bytes(content)
    return Quantized(prepared, quantization, file, content, formats, description)


def verify(quantized):
    """Compare a file with Keras; raise ParityError beyond the tolerance."""
    reference, mode = quantized.prepared.reference, MODES[quantized.quantization]
    tolerance = quantized.prepared.options.tolerance or mode.tolerance
    search = quantized.description["search"]
    parity, answers = check_parity(quantized.file, reference, tolerance, search, mode.name)
    return Verified(quantized, tolerance, parity, _golden(reference, answers, mode.is_exact))


def _golden(reference, answers, is_exact):
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
    return {"max_length": reference.max_length, "is_exact": is_exact, "sentences": sentences}


def measure(verified):
    """Report on all verified files; measure speed and memory unless `measure=False`."""
    prepared, keras_speed = verified[0].quantized.prepared, None
    if prepared.options.measure:
        keras_speed = measure_speed(prepared.folder / SAVED_MODEL, prepared.reference)
    return [Measured(each, _report(each, prepared, keras_speed)) for each in verified]


def _report(verified, prepared, keras_speed):
    quantized, options, measurements = verified.quantized, prepared.options, None
    if options.measure:
        measurements = measure_file(quantized.file, keras_speed, prepared.reference)
    return Report(
        path=options.paths[quantized.quantization],
        quantization=quantized.quantization,
        search=quantized.description["search"],
        num_parameters=options.num_parameters,
        file_size=len(quantized.content),
        min_runtime=required_runtime(quantized.content),
        formats=quantized.formats,
        ops=dict(sorted(check_target(quantized.content, options.target or "cpu").items())),
        parts=size_by_part(quantized.content),
        parity=verified.parity,
        tolerance=verified.tolerance,
        measurements=measurements,
        calibrated_on=_calibrated_on(quantized.quantization, options),
    )


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
        golden = json.dumps(each.verified.golden, ensure_ascii=False, indent=1) + "\n"
        parts = {
            MODEL_FILE: quantized.content,
            **quantized.prepared.options.tokenizers.files,
            "golden.json": golden.encode(),
            **report_parts(report, reports.values()),
        }
        write_parts = partial(
            write_container, description=description, parts=parts, zipped=is_zip(report.path)
        )
        write_atomically(report.path, write_parts)
    return reports
