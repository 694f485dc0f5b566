"""Export of a model as a bundle: a folder or zip with everything that a device needs."""

import os
from collections.abc import Sequence

from seq2lite.zoo.contract import Seq2Seq

from . import checks, stages
from .conversion.precision import in_float32
from .quantization.modes import MAX_DIVERGENCE, Tolerance
from .report import Report
from .runtime.tokenizer import Tokenizer
from .system.atomic import scratch_folder
from .verification.reference import KerasReference


def to_bundle(
    model: Seq2Seq,
    path: str | os.PathLike,
    tokenizer: Tokenizer | Sequence[Tokenizer] | None = None,
    held_out: Sequence[Sequence[str]] = (),
    *,
    quantization: str | Sequence[str] = "int8",
    max_source_length: int | None = None,
    max_target_length: int | None = None,
    languages: Sequence[str] | None = None,
    num_beams: int | None = None,
    length_penalty: float | None = None,
    text: bool = True,
    max_text_bytes: int | None = None,
    attention: bool = False,
    integer_io: bool = False,
    calibration: Sequence[str] | None = None,
    max_divergence: float = MAX_DIVERGENCE,
    min_runtime: str | None = None,
    target: str | None = None,
    tolerance: Tolerance | None = None,
    measure: bool = True,
) -> Report | dict[str, Report]:
    """Export a model with everything that a device needs to run and to test it.

    | file | contents |
    |---|---|
    | `model.tflite` | the signatures of `to_tflite`, compared with Keras |
    | `tokenizer.model` | the SentencePiece model |
    | `bundle.json` | signatures, lengths, special ids, languages, quantization, versions, checksums |
    | `golden.json` | sentences with the ids, tokens and first logits of the file |
    | `report.md`, `report.html` | size, parity with Keras, speed, memory, ops and their times |

    Writing is atomic: on any error, the previous content of `path` remains.

    Args:
        model: `zoo.Seq2Seq`. A model with mixed precision is exported in float32.
        path: Folder to write, or a single file if the name ends in `.zip`. An existing bundle is
            replaced. Anything else at `path` is an error.
        tokenizer: The `Tokenizer` that the model was trained with, or a pair (source, target).
            Default: the one that is attached to the model (`Seq2Seq.attach_tokenizer`).
        held_out: List of (source, reference) texts that the model was not trained on.
        quantization: str, a mode of `export.QUANTIZATIONS`, default `"int8"`. A tuple or list of
            modes writes one bundle for each into the folder `path`, named after the mode. The model
            is converted once, and nothing is written before all files have passed.
        max_source_length: int, maximum number of source tokens, including the end. Use the value of
            the training. Default: that of the attached tokenizer, else 128.
        max_target_length: int, maximum number of generated tokens unless the caller asks for another
            one. Default: that of the attached tokenizer, else `max_source_length`.
        languages: Pair of language tags (source, target), such as `("en", "ko")`. Default: none.
        num_beams: int, beam size of the bundle's search. With 1 it is greedy, and the file has neither
            `generate_beam` nor `translate_beam`. Default: that of the attached tokenizer, else 4.
            Static modes have no search in the file and ignore `num_beams`, `length_penalty`, `text`
            and `max_text_bytes`.
        length_penalty: float, of the beam search. See `zoo.beam_search`. Default: that of the
            attached tokenizer, else 0.6.
        text: bool, default True, whether the file contains the tokenizer and the signatures
            `translate`, `translate_beam`, `tokenize` and `detokenize` over UTF-8 bytes.
        max_text_bytes: int, number of bytes of a text in these signatures. An answer has at most
            twice as many. Default: enough for each source of `held_out` and `calibration` that has
            at most `max_source_length` tokens; a multiple of 256, at least 512.
        attention: bool, default False, whether `decode_step` also returns attention weights, which
            `Runner.align` needs. The model must have attention.
        integer_io: bool, default False, whether the signatures of `"int8_static"` and `"int16x8"`
            take and return integers.
        calibration: List of source texts for calibrating 4-bit weights and integer activations: 64
            or more sentences from the training data. Default: the sources of `held_out`, with which
            the measured loss of quality is slightly too small. The report names the texts.
        max_divergence: float, the maximum loss of `"mixed"`. See `to_tflite`.
        min_runtime: str, the oldest TFLite runtime that must run the file. See `to_tflite`.
        target: str, the device target of all files. See `to_tflite` and `static.convert`.
        tolerance: `Tolerance` of the comparison with Keras. Default: that of the mode.
        measure: bool, default True, whether to measure speed and memory, which takes most of the
            time. If False, the report states "not measured".

    Returns:
        A `Report`. For several modes, a dict of mode to `Report`.

    Raises:
        ValueError: An argument is invalid. Nothing has been written.
        ConversionError: The model cannot be converted, or its file cannot be opened or run.
        ParityError: The outputs of a file differ from Keras by more than the tolerance.

    Example:
        >>> from seq2lite import export
        >>> report = export.to_bundle(model, folder / "my-model", tokenizer, held_out,
        ...                           quantization="float32", measure=False)
        >>> sorted(file.name for file in report.path.iterdir())
        ['bundle.json', 'golden.json', 'model.tflite', 'report.html', 'report.md', 'tokenizer.model']
    """
    are_several = isinstance(quantization, (tuple, list))
    modes = tuple(quantization) if are_several else (quantization,)
    checks.check_quantizations(
        modes,
        max_divergence=max_divergence,
        min_runtime=min_runtime,
        integer_io=integer_io,
        target=target,
    )
    max_text_bytes = checks.check_text_bytes(max_text_bytes)
    checks.check_flags(text=text, measure=measure, integer_io=integer_io)
    checks.check_tolerance(tolerance)
    checks.check_model(model)
    checks.check_attention(model, attention)
    settings = checks.text_settings(
        model,
        tokenizer,
        max_source_length=max_source_length,
        max_target_length=max_target_length,
        num_beams=num_beams,
        length_penalty=length_penalty,
    )
    checks.check_held_out(held_out)
    if calibration is not None:
        checks.check_calibration_texts(calibration)
    if max_text_bytes is None:
        texts = [*(source for source, _ in held_out), *(calibration or ())]
        max_source_length = settings.limits["max_source_length"]
        max_text_bytes = checks.text_bytes(settings.tokenizers.source, texts, max_source_length)
    checks.check_languages(languages)
    checks.check_weights(model, modes)
    options = stages.Options(
        name=model.name,
        num_parameters=model.count_params(),
        paths=checks.bundle_paths(path, modes if are_several else quantization),
        limits=settings.limits,
        tokenizers=settings.tokenizers,
        held_out=held_out,
        languages=languages,
        **settings.search,
        text=text,
        max_text_bytes=max_text_bytes,
        attention=attention,
        integer_io=integer_io,
        calibration=calibration,
        max_divergence=max_divergence,
        min_runtime=min_runtime,
        target=target,
        tolerance=tolerance,
        measure=measure,
    )
    with scratch_folder() as folder:
        model = in_float32(model)
        reference = KerasReference(
            model, settings.tokenizers, held_out, settings.limits, options.searches()
        )
        stages.save_signatures(model, options, folder)
        prepared = stages.prepare(reference, options, folder)
        converted = stages.convert(prepared)
        quantized = [stages.quantize(converted, mode) for mode in modes]
        verified = [stages.verify(each) for each in quantized]
        measured = stages.measure(verified)
        reports = stages.write(measured)
    return reports if are_several else reports[quantization]
