"""Export of a model as one TFLite file of built-in ops."""

import os

import numpy as np
import tensorflow as tf

from seq2lite.zoo.contract import Seq2Seq
from seq2lite.zoo.search.greedy import greedy_search

from . import checks
from .conversion.converter import convert_signatures
from .conversion.precision import in_float32
from .quantization.calibration import MAX_STEPS, Calibration
from .quantization.modes import MAX_DIVERGENCE, MODES, quantize
from .signatures.dynamic import Signatures
from .system.atomic import write_bytes


def to_tflite(
    model: Seq2Seq,
    path: str | os.PathLike,
    quantization: str = "int8",
    *,
    num_beams: int = 1,
    length_penalty: float = 0.6,
    attention: bool = False,
    calibration: np.typing.ArrayLike | None = None,
    max_divergence: float = MAX_DIVERGENCE,
    min_runtime: str | None = None,
    target: str | None = None,
) -> None:
    """Export a model as one TFLite file whose signatures share its weights.

    | signature | inputs | outputs |
    |---|---|---|
    | `generate` | `source` int32 `(batch, source_length)`, `max_length` int32 `()` | `tokens` int32 `(batch, length)`, `length` int32 `(batch,)` |
    | `generate_beam` | `source`, `max_length` | `tokens` int32 `(batch, num_beams, length)`, the best first; `length` int32, `scores` float32, both `(batch, num_beams)` |
    | `encode` | `source` | the state, by name |
    | `decode_step` | `token` int32 `(batch,)`, the state | `logits` float32 `(batch, vocabulary_size)`, the state; with `attention` also `attention` float32 `(batch, source_length)` |

    Batch and lengths are dynamic. `generate` is `zoo.greedy_search`. `generate_beam` is
    `zoo.beam_search` with as many hypotheses as beams. The first graph of the file is `generate`.
    The file is checked to contain all weights and only built-in ops, and is opened once. It is
    neither run nor compared with the model, as `to_bundle` does. A file has at most 2 GB; in float32, which is
    converted first, the model may be larger.

    | quantization | weights | activations |
    |---|---|---|
    | `"float32"` | float32 | float32 |
    | `"float16"` | float16, half the size at the same speed | float32 |
    | `"int8"` | 8 bits, one scale per row | 8 bits inside products (dynamic range) |
    | `"int4"` | 4 bits, one scale per 32 weights of a row, calibrated (GPTQ) | as `"int8"` |
    | `"mixed"` | 4 bits, or 8 where 4 are measured to lose too much | as `"int8"` |

    Args:
        model: `zoo.Seq2Seq`. A model with mixed precision is exported in float32.
        path: File to write. It is replaced after the conversion has succeeded.
        quantization: str, default `"int8"`, a mode of the table.
        num_beams: int, default 1, beam size of `generate_beam`. With 1 there is no such signature.
        length_penalty: float, default 0.6, of `generate_beam`. See `zoo.beam_search`.
        attention: bool, default False, whether `decode_step` also returns the attention weights over
            the source. The model must have attention.
        calibration: Real sources as `model.source_spec` describes them, padded: ids `(n,
            source_length)`, each ended, or features `(n, source_length, features)`. Required by
            `"int4"` and `"mixed"`, at least 64 sources. Other modes ignore it.
        max_divergence: float, the maximum loss of `"mixed"` in nats: the mean over tokens of the
            Kullback-Leibler divergence between its next-token distribution and that of float32.
        min_runtime: str, the oldest TFLite runtime that must run the file, such as `"2.9"`. Before
            2.18, `"int8"` has one scale per weight, which is slightly less exact. Default: any.
        target: str, the device target whose ops, types and shapes the file must keep to, a name in
            `export.tflite_file.targets.TARGETS`. Default: `"cpu"`.

    Raises:
        ValueError: An argument is invalid.
        ConversionError: The converter failed, the file contains an op that the target does not
            have, or `max_divergence` cannot be kept.

    Example:
        >>> from seq2lite import export, zoo
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50)
        >>> export.to_tflite(model, folder / "model.tflite", quantization="float32")
    """
    checks.check_model(model)
    checks.check_attention(model, attention)
    options = {"max_divergence": max_divergence, "min_runtime": min_runtime, "target": target}
    checks.check_quantization(quantization, is_static=False, **options)
    num_beams, length_penalty = checks.check_beams(num_beams, length_penalty)
    checks.check_file_path(path)
    mode = MODES[quantization]
    if mode.needs_calibration:
        calibration = checks.check_calibration_sources(calibration, model, quantization)
    checks.check_weights(model, [quantization])
    model = in_float32(model)
    if mode.needs_calibration:
        calibration = _calibration(model, calibration)
    signatures = Signatures(model, num_beams, length_penalty, attention=attention)
    content = convert_signatures(signatures, target or mode.target)
    content, _ = quantize(content, quantization, calibration, **options)
    write_bytes(path, content)


def _calibration(model, source):
    """`Calibration` on sources, with the targets that the model generates for them."""
    limit = MAX_STEPS if model.max_positions is None else min(MAX_STEPS, model.max_positions - 1)
    search = tf.function(lambda source: greedy_search(model, source, limit), autograph=False)
    lengths = np.asarray(model.source_mask(source)).sum(axis=1)
    return Calibration.of(source, lengths, *search(source), model.start_id)
