"""From a model to one TFLite file of built-in ops."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from seq2lite.zoo.search.greedy import greedy_search

from .checks import check_beams, check_model
from .conversion.convert import convert_saved
from .conversion.precision import in_float32
from .conversion.saved_model import save
from .quantization.calibration import MAX_STEPS, Calibration
from .quantization.modes import (
    MAX_DIVERGENCE,
    MODES,
    check_quantization,
    check_weights,
    quantize,
)
from .signatures.dynamic import Signatures
from .system.atomic import check_parents, scratch_folder, write_atomically


def to_tflite(
    model,
    path,
    quantization="int8",
    *,
    num_beams=None,
    length_penalty=0.6,
    calibration=None,
    max_divergence=MAX_DIVERGENCE,
    min_runtime=None,
):
    """Writes a model as one TFLite file whose signatures share its weights.

    | signature | takes | gives |
    |---|---|---|
    | `generate` | `source` int32 `(batch, source_length)`, `max_length` int32 `()` | `tokens` int32 `(batch, length)`, `length` int32 `(batch,)` |
    | `generate_beam` | `source`, `max_length` | `tokens` int32 `(batch, num_beams, length)`, the best first; `length` int32, `scores` float32, both `(batch, num_beams)` |
    | `encode` | `source` | the state, by name |
    | `decode_step` | `token` int32 `(batch,)`, the state | `logits` float32 `(batch, vocabulary_size)`, the state |

    Batch and lengths are dynamic. `generate` is `zoo.greedy_search`, `generate_beam` (only where
    `num_beams` is given) `zoo.beam_search` with as many hypotheses as beams. The file is checked to hold built-in ops only, and all weights;
    it is not compared with the model: `to_bundle` does that too.

    | quantization | weights | activations |
    |---|---|---|
    | `"float32"` | float32 | float32 |
    | `"float16"` | float16: half the size, no speed | float32 |
    | `"int8"` | 8 bits, a scale a row | 8 bits inside products (dynamic range) |
    | `"int4"` | 4 bits, a scale for each 32 of a row, calibrated (GPTQ) | as `"int8"` |
    | `"mixed"` | 4 bits, and 8 where measuring says that 4 lose too much | as `"int8"` |

    Args:
        model: A `zoo.Seq2Seq`; one of mixed precision is exported in float32.
        path: File to write. It is replaced once the conversion has succeeded.
        quantization: One of the table.
        num_beams: Beams of `generate_beam`. Default: no such signature.
        length_penalty: Of `generate_beam`; see `zoo.beam_search`.
        calibration: int32 ids `(n, source_length)` of real sources, each row ended, then padded:
            `"int4"` and `"mixed"` need them, 64 or more. Others ignore them.
        max_divergence: Most that `"mixed"` may lose, in nats: the mean over tokens of the
            Kullback-Leibler divergence of its next-token distribution from the float32 file's.
        min_runtime: Version of the oldest TFLite runtime that must run the file, such as `"2.9"`:
            before 2.18 `"int8"` has one scale a weight, a little less exact. Default: any.

    Raises:
        ValueError: An argument is not as above.
        ConversionError: The converter failed, the file holds an op that no device has, or
            `max_divergence` cannot be kept.

    Example:
        >>> from seq2lite import export, zoo
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50)
        >>> export.to_tflite(model, folder / "model.tflite", quantization="float32")
    """
    check_model(model)
    options = {"max_divergence": max_divergence, "min_runtime": min_runtime}
    check_quantization(quantization, is_static=False, **options)
    check_beams(num_beams, length_penalty)
    if Path(path).is_dir():
        raise ValueError(f"`path` must be a file to write. Received: {path}, which is a folder")
    check_parents(path)
    model = in_float32(model)
    check_weights(model, quantization)
    if MODES[quantization].needs_calibration:
        calibration = _generated(model, calibration, quantization)
    with scratch_folder() as folder:
        saved_model = folder / "saved_model"
        save(Signatures(model, num_beams, length_penalty), saved_model)
        content = convert_saved(saved_model)
    content, _ = quantize(content, quantization, calibration, **options)
    write_atomically(path, lambda partial: partial.write_bytes(content))


def _generated(model, source, quantization):
    """A `Calibration` of sources, with what the model itself makes of them."""
    try:
        ids = np.asarray(source)
    except ValueError:  # rows of several lengths
        ids = np.zeros(0)
    size = model.source_vocabulary_size
    if (
        ids.ndim != 2
        or not np.issubdtype(ids.dtype, np.integer)
        or not ((ids >= 0) & (ids < size)).all()
        or not len(ids)
        or not (ids != model.pad_id).any(axis=1).all()
    ):
        raise ValueError(
            f"`calibration` must be ids (n, source_length) in [0, {size}) of real sources, none "
            f"empty, for quantization={quantization!r}. Received: {source!r:.80}"
        )
    source = ids.astype(np.int32)
    limit = MAX_STEPS if model.max_positions is None else min(MAX_STEPS, model.max_positions - 1)
    search = tf.function(lambda source: greedy_search(model, source, limit))
    tokens, lengths = search(source)
    return Calibration.of(source, tokens, lengths, model)
