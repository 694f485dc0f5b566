"""A bundle: the folder that leaves the house."""

import json
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from . import static
from .checks import check_beams, check_model, check_tokenizer, length_limits
from .conversion.convert import convert_saved
from .conversion.precision import in_float32
from .conversion.saved_model import save
from .measurement.measure import Measurements, measure, measure_speed
from .measurement.size import size_by_part
from .quantization.calibration import Calibration
from .quantization.modes import (
    MAX_DIVERGENCE,
    MODES,
    check_quantizations,
    check_weights,
    quantize,
)
from .report import report_parts
from .runtime.container import MODEL_FILE, TOKENIZER_FILE, is_bundle, is_zip, write_container
from .runtime.text import pad
from .runtime.tokenizer import Tokenizers, is_unicode
from .signatures.dynamic import Signatures
from .signatures.sentencepiece import TextGraph
from .system.atomic import check_parents, scratch_folder, write_atomically
from .tflite_file import flatbuffer
from .tflite_file.flatbuffer import schema
from .tflite_file.metadata import with_metadata
from .tflite_file.targets import check_target
from .tflite_file.versions import required_runtime
from .verification.parity import check_parity
from .verification.probe import search_all
from .verification.reference import KerasReference, Parity

NUM_GOLDEN = 8


@dataclass(frozen=True)
class Report:
    """What was measured of a bundle, as in its report.md.

    Attributes:
        path: The bundle's folder or zip.
        quantization: Its quantization.
        num_parameters: Of the Keras model.
        file_size: Bytes of model.tflite.
        min_runtime: Least version of the TFLite runtime that has all its ops.
        formats: How each weight is stored, by name.
        ops: Op name to count, over the whole file.
        parts: Bytes by what they are for: see `parts.size_by_part`.
        parity: A `Parity`.
        measurements: `Measurements` of speed, memory and ops.
        calibrated_on: Which text its weights or scales were made for; None where none was needed.
    """

    path: Path
    quantization: str
    num_parameters: int
    file_size: int
    min_runtime: str
    formats: dict
    ops: dict
    parts: dict
    parity: Parity
    measurements: Measurements
    calibrated_on: str | None

    @property
    def tokens_per_second(self):
        """Of the file on held-out text, batch 1, one thread."""
        return self.measurements.tokens_per_second

    @property
    def keras_tokens_per_second(self):
        """Of the same loop in TensorFlow, batch 1, one thread."""
        return self.measurements.keras_tokens_per_second


def to_bundle(
    model,
    path,
    tokenizer,
    held_out,
    *,
    quantization="int8",
    max_source_length=128,
    max_target_length=None,
    languages=None,
    num_beams=4,
    length_penalty=0.6,
    text=True,
    integer_io=False,
    calibration=None,
    max_divergence=MAX_DIVERGENCE,
    min_runtime=None,
    tolerance=None,
):
    """Exports a model with all that a device needs to run it, and to test itself.

    | file | holds |
    |---|---|
    | `model.tflite` | the signatures of `to_tflite`, checked against Keras |
    | `tokenizer.model` | the SentencePiece model |
    | `bundle.json` | signatures, lengths, special ids, languages, quantization, versions, checksums |
    | `golden.json` | sentences with the file's ids, tokens and first logits |
    | `report.md`, `report.html` | size, parity with Keras, speed, memory, ops and their times |

    It appears whole, or what stood at `path` stays as it was.

    Args:
        model: A `zoo.Seq2Seq`; one of mixed precision is exported in float32.
        path: Folder to write, or one file, if its name ends in .zip. A bundle there is replaced;
            anything else is left, with an error.
        tokenizer: The `Tokenizer` that the model was trained with.
        held_out: List of (source, reference) text that the model was not trained on.
        quantization: `"int8"` or another of QUANTIZATIONS; or a tuple or list of several: `path` is then
            the folder of their bundles, named after them, for which the model is converted once. They
            are written when all have passed.
        max_source_length: Most tokens of a source, its end among them: that of the training.
        max_target_length: Most tokens that are generated for one, unless the caller says
            otherwise. Default: `max_source_length`.
        languages: Language tags (source, target), such as `("en", "ko")`.
        num_beams: Beams of the signature `generate_beam`; None: leave it out. `"int8_static"` and
            `"int16x8"` have no search in the file, and leave this one and the next two unused.
        length_penalty: Of `generate_beam`; see `zoo.beam_search`.
        text: Whether the file holds the tokenizer too, and the signatures `translate`, `tokenize` and
            `detokenize` over UTF-8 bytes.
        integer_io: With `"int8_static"` and `"int16x8"`: the signatures take and give integers.
        calibration: List of source text that 4-bit weights, and the scales of integers, are calibrated
            on: 64 sentences or more of what the model was trained on. Default: the sources of
            `held_out`, on which a loss then looks a little less than it is, as the report says.
        max_divergence: Most that `"mixed"` may lose; see `to_tflite`.
        min_runtime: Oldest TFLite runtime that must run the file; see `to_tflite`.
        tolerance: A `Tolerance`. Default: that of the mode.

    Returns:
        A `Report`; of several quantizations a dict of them, by quantization.

    Raises:
        ValueError: An argument is not as above; nothing was written.
        ConversionError: The model cannot be converted, or its file cannot be run.
        ParityError: The file is not within the tolerance of Keras.

    Example:
        >>> from seq2lite import export
        >>> report = export.to_bundle(model, folder / "my-model", tokenizer, held_out,
        ...                           quantization="float32")
        >>> sorted(file.name for file in report.path.iterdir())
        ['bundle.json', 'golden.json', 'model.tflite', 'report.html', 'report.md', 'tokenizer.model']
    """
    are_several = isinstance(quantization, (tuple, list))
    quantizations = tuple(quantization) if are_several else (quantization,)
    options = {"max_divergence": max_divergence, "min_runtime": min_runtime}
    check_quantizations(quantizations, **options, integer_io=integer_io)
    if are_several and is_bundle(Path(path)):
        raise ValueError(
            f"`path` must be a folder for bundles, not one itself. Received: {path}, which is one"
        )
    paths = {name: Path(path) / name if are_several else Path(path) for name in quantizations}
    check_beams(num_beams, length_penalty)
    are_static = all(MODES[name].is_static for name in quantizations)
    _check_arguments(model, paths, tokenizer, held_out, calibration, languages)
    limits = length_limits(max_source_length, max_target_length, model.max_positions)
    model = in_float32(model)
    for name in quantizations:
        check_weights(model, name)
    text_graph = TextGraph(tokenizer) if text and not are_static else None
    calibrated_on = "the held-out sentences" if calibration is None else "other sentences"
    finished = []
    with scratch_folder() as folder:
        reference = KerasReference(model, Tokenizers.of(tokenizer), held_out, limits)
        saved_model = folder / "saved_model"
        save(Signatures(model, num_beams, length_penalty, text_graph, limits), saved_model)
        float32 = None if are_static else convert_saved(saved_model)
        keras_speed = None  # measured once a file is known to be right
        for name in quantizations:
            mode = MODES[name]
            if mode.is_static:
                formats = {}
                content = static.convert(
                    model,
                    name,
                    **limits,
                    tokenizer=tokenizer,
                    calibration=list(reference.sources if calibration is None else calibration),
                    integer_io=integer_io,
                    min_runtime=min_runtime,
                )
            else:
                content, formats = quantize(
                    float32,
                    name,
                    _calibration(reference, calibration, model) if mode.needs_calibration else None,
                    **options,
                )
            about = {
                "name": model.name,
                **limits,
                **tokenizer.vocabulary,
                "normalization": "NFC",
                "languages": list(languages) if languages else None,
                "quantization": name,
                "num_parameters": model.count_params(),
            }
            file = folder / name / MODEL_FILE
            file.parent.mkdir()
            content = with_metadata(content, about, tokenizer)
            file.write_bytes(content)
            allowed = mode.tolerance if tolerance is None else tolerance
            parity, answers = check_parity(file, reference, allowed)
            keras_speed = keras_speed or measure_speed(saved_model, reference)
            report = Report(
                path=paths[name],
                quantization=name,
                num_parameters=model.count_params(),
                file_size=len(content),
                min_runtime=required_runtime(content),
                formats=formats,
                ops=dict(sorted(check_target(content, "cpu").items())),
                parts=size_by_part(content),
                parity=parity,
                measurements=measure(file, keras_speed, reference),
                calibrated_on=calibrated_on if mode.needs_calibration else None,
            )
            golden = _golden(reference, answers)
            finished.append((report, about, content, tokenizer, golden, allowed))
        # Not before all of them have passed.
        reports = [report for report, *_ in finished]
        for parts in finished:
            _write(*parts, reports)
    return {report.quantization: report for report in reports} if are_several else reports[0]


def _write(report, about, content, tokenizer, golden, tolerance, reports):
    description = {
        **about,
        "signatures": _signatures(content),
        "min_runtime": report.min_runtime,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("seq2lite", "tensorflow", "keras")},
        },
    }
    parts = {
        MODEL_FILE: content,
        TOKENIZER_FILE: tokenizer.model_bytes,
        "golden.json": _json(golden),
        **report_parts(report, tolerance, reports),
    }
    path = report.path
    write_atomically(path, lambda made: write_container(made, description, parts, is_zip(path)))


def _calibration(reference, texts, model):
    """Of what Keras makes of `texts`, or of what it made of the held-out text."""
    if texts is None:
        return Calibration.of(reference.source, reference.tokens, reference.token_lengths, model)
    ids = sorted(filter(None, reference.runner.source_ids(texts)), key=len, reverse=True)
    source, lengths = pad(ids, model.pad_id), np.array([len(row) for row in ids])
    found = search_all(reference.runner.generate_ids, source, lengths, reference.max_length)
    return Calibration.of(source, *found, model)


def _check_arguments(model, paths, tokenizer, held_out, calibration, languages):
    check_model(model)
    check_tokenizer(model, tokenizer)
    if (
        not isinstance(held_out, (list, tuple))
        or not all(_are_texts(pair, 2) for pair in held_out)
        or not any(source.strip() for source, _ in held_out)
    ):
        raise ValueError(
            "`held_out` must be a list of (source, reference) text, for comparing the file with "
            f"Keras. Received: {held_out!r:.80}"
        )
    if calibration is not None and not (
        isinstance(calibration, (list, tuple))
        and _are_texts(calibration, len(calibration))
        and any(text.strip() for text in calibration)
    ):
        raise ValueError(
            f"`calibration` must be a list of source text. Received: {calibration!r:.80}"
        )
    if languages is not None and not _are_texts(languages, 2):
        raise ValueError(
            f"`languages` must be a pair of tags, such as ('en', 'ko'). Received: {languages!r}"
        )
    for path in paths.values():
        _check_place(path)


def _check_place(path):
    if os.path.lexists(path) and not (is_bundle(path) and path.is_file() == is_zip(path)):
        raise ValueError(
            f"`path` must be free, or a bundle, which is replaced. Received: {path}, which is "
            "neither"
        )
    check_parents(path)


def _are_texts(value, number):
    return (
        isinstance(value, (list, tuple))
        and len(value) == number
        and all(isinstance(text, str) and is_unicode(text) for text in value)
    )


def _signatures(content):
    """Signature name to its inputs and outputs, each name to dtype and shape; -1 is dynamic."""
    model = flatbuffer.read(content)
    types = {number: name for name, number in vars(schema.TensorType).items() if name.isupper()}

    def tensors(graph, maps):
        found = {}
        for entry in maps:
            tensor = graph.tensors[entry.tensorIndex]
            shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
            shape = [] if shape is None else [int(size) for size in shape]
            found[entry.name.decode()] = {"dtype": types[tensor.type].lower(), "shape": shape}
        return found

    return {
        signature.signatureKey.decode(): {
            "inputs": tensors(model.subgraphs[signature.subgraphIndex], signature.inputs),
            "outputs": tensors(model.subgraphs[signature.subgraphIndex], signature.outputs),
        }
        for signature in model.signatureDefs
    }


def _golden(reference, answers):
    """Sentences with what the file itself answered: a device must answer the same."""
    sentences = []
    for row in range(min(NUM_GOLDEN, len(answers["logits"]))):
        logits = answers["logits"][row, 0]
        greatest = np.argsort(-logits, kind="stable")[:10]
        length = int(answers["token_lengths"][row])
        sentences.append(
            {
                "text": reference.sources[row],
                "source": reference.source[row, : reference.lengths[row]].tolist(),
                "tokens": answers["tokens"][row, :length].tolist(),
                "first_logits": {str(i): float(logits[i]) for i in greatest},
            }
        )
    return {"max_length": reference.max_length, "sentences": sentences}


def _json(content):
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()
