"""Files with static shapes and few ops, for GPU delegates, NPUs, web runtimes, microcontrollers.

Such a file has no loop, no dynamic size, no tensor of rank above 4 and no int64. It contains
`encode` and `decode_step`, and the host runs the search (`runtime.host_search`).
"""

from collections.abc import Sequence

import numpy as np

from seq2lite.zoo.checks import require
from seq2lite.zoo.contract import Seq2Seq
from seq2lite.zoo.text import check_tokenizer, length_limits

from . import checks
from .conversion.converter import convert_signatures
from .conversion.precision import in_float32
from .quantization.calibration import NUM_SENTENCES, StaticCalibration
from .quantization.modes import MODES, quantize
from .runtime.text import pad, source_ids
from .runtime.tokenizer import Tokenizer
from .signatures.static import StaticSignatures


def convert(
    model: Seq2Seq,
    quantization: str,
    *,
    max_source_length: int | None = None,
    max_target_length: int | None = None,
    tokenizer: Tokenizer | Sequence[Tokenizer] | None = None,
    calibration: Sequence[str] | np.typing.ArrayLike = (),
    attention: bool = False,
    integer_io: bool = False,
    batch: int = 1,
    min_runtime: str | None = None,
    target: str | None = None,
) -> bytes:
    """Convert a model to a file with static `encode` and `decode_step` that every runtime can run.

    | quantization | weights of products | everything else |
    |---|---|---|
    | `"float32_static"` | float32 | float32 |
    | `"int8_static"` | int8, one scale per row | int8, one scale per tensor |
    | `"int16x8"` | int8, one scale per row | int16, one scale per tensor |

    Args:
        model: `zoo.Seq2Seq`.
        quantization: str, a static mode of the table.
        max_source_length: int, length of the source input, including the end. Default: that of the
            attached tokenizer (`Seq2Seq.attach_tokenizer`).
        max_target_length: int, default `max_source_length`, number of tokens that the KV cache
            holds.
        tokenizer: The `Tokenizer` of the model, or a pair (source, target). Required by the integer
            modes if the model reads ids. Default: the attached one.
        calibration: List of source texts from the training data, required by the integer modes.
            The scales are those of the values that occur when the model decodes them. For a model of
            float features: an array `(n, max_source_length, features)`, padded; no `tokenizer`.
        attention: bool, default False, whether `decode_step` also returns the attention weights
            `attention (batch, source_length)`. The model must have attention.
        integer_io: bool, default False, whether the signatures of the integer modes take and return
            integers, with the scales that the file states.
        batch: int, default 1, number of sentences in a call. Must be 1 for the integer modes.
        min_runtime: str, the oldest TFLite runtime that must run the file, such as `"2.17"`, the
            minimum of the integer modes. Default: any.
        target: str, the device target whose ops, types and shapes the file must keep to, a name in
            `export.tflite_file.targets.TARGETS`. Default: `"portable"` for the
            float32 file, before quantization.

    Returns:
        bytes of the file.

    Raises:
        ValueError: An argument is invalid.
        ConversionError: The converter failed, or the model needs an op that the target or
            `min_runtime` does not have.

    Example:
        >>> from seq2lite import zoo
        >>> from seq2lite.export import static
        >>> from seq2lite.export.tflite_file.targets import check_target
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50, hidden_dim=16, embedding_dim=16)
        >>> content = static.convert(model, "float32_static", max_source_length=4)
        >>> check_target(content, "portable")["FULLY_CONNECTED"] > 0
        True
    """
    checks.check_model(model)
    checks.check_attention(model, attention)
    options = {"integer_io": integer_io, "min_runtime": min_runtime, "target": target}
    checks.check_quantization(quantization, is_static=True, **options)
    checks.check_flags(integer_io=integer_io)
    batch = checks.check_batch(batch, quantization)
    if model.text is not None and max_source_length is None:
        max_source_length = model.text.max_source_length
        max_target_length = max_target_length or model.text.max_target_length
    limits = length_limits(max_source_length, max_target_length, model.max_positions)
    checks.check_weights(model, [quantization])
    mode, found = MODES[quantization], None
    if mode.needs_calibration:
        ids = {name: getattr(model, name) for name in ("start_id", "end_id", "pad_id")}
        if model.source_spec.features is None:
            attached = model.text.tokenizers if model.text else None
            tokenizers = check_tokenizer(model, tokenizer or attached)
            checks.check_calibration_texts(calibration)
            padding = model.source_spec.padding
            found = calibrate(tokenizers.source, calibration, limits, ids, padding)
        else:
            source = checks.check_calibration_sources(calibration, model, quantization)
            require(
                source.shape[1] == max_source_length,
                f"padded to max_source_length={max_source_length}",
                calibration=source,
            )
            max_length = limits["max_target_length"]
            found = StaticCalibration(source[:NUM_SENTENCES], max_length, ids)
    model = in_float32(model)
    signatures = StaticSignatures(model, **limits, batch=batch, attention=attention)
    content = convert_signatures(signatures, target or mode.target)
    return quantize(content, quantization, found, **options)[0]


def calibrate(tokenizer, texts, limits, ids, padding):
    """Tokenize texts of all lengths to calibrate a static file.

    Args:
        tokenizer: The `Tokenizer` of the source.
        texts: List of source texts that are not all blank.
        limits: dict of `max_source_length` and `max_target_length`.
        ids: dict of `start_id`, `end_id` and `pad_id`.
        padding: Id that pads sources.

    Returns:
        `StaticCalibration`.
    """
    length = limits["max_source_length"]
    rows = sorted(filter(None, source_ids(tokenizer, texts, length)), key=len)
    number = min(len(rows), NUM_SENTENCES)
    rows = [rows[i] for i in np.linspace(0, len(rows) - 1, number).astype(int)]
    source = pad(rows, padding, length)
    return StaticCalibration(source, limits["max_target_length"], ids)
