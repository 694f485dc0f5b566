"""`encode` and `decode_step` of static shapes, of ops that every runtime has.

For GPU delegates, NPUs, web runtimes and microcontrollers: no loop, no dynamic size, rank 4 at the
most, no int64. A host runs the search (`host_search`).
"""

import numpy as np

from .checks import check_model, check_tokenizer, length_limits
from .conversion.convert import TIMEOUT
from .conversion.precision import in_float32
from .conversion.saved_model import save
from .quantization.calibration import NUM_SENTENCES, StaticCalibration
from .quantization.modes import MODES, check_quantization, quantize
from .signatures.static import StaticSignatures
from .system.atomic import scratch_folder
from .system.isolation import run_isolated
from .tflite_file.targets import prepare


def convert(
    model,
    quantization,
    *,
    max_source_length,
    max_target_length=None,
    tokenizer=None,
    calibration=(),
    integer_io=False,
    batch=1,
    min_runtime=None,
):
    """Converts a model to a file of static `encode` and `decode_step` that every runtime takes.

    | quantization | weights of products | everything else |
    |---|---|---|
    | `"float32_static"` | float32 | float32 |
    | `"int8_static"` | int8, a scale a row | int8, one scale a tensor |
    | `"int16x8"` | int8, a scale a row | int16, one scale a tensor |

    Args:
        model: A `zoo.Seq2Seq`.
        quantization: A static mode: see the table.
        max_source_length: Tokens of each source, its end among them.
        max_target_length: Tokens that a step remembers. Default: `max_source_length`.
        tokenizer: The model's `Tokenizer`, for the integer modes.
        calibration: List of source texts, of the kind that the model was trained for and not of
            its tests: scales are those of the values met in translating them.
        integer_io: Signatures take and give integers, with the scales that the file states.
        batch: Sentences at a time; 1 for the integer modes.
        min_runtime: The oldest TFLite runtime that must run the file, such as `"2.17"`, the least of
            the integer modes. Default: whichever has its ops.

    Returns:
        The file's bytes.

    Raises:
        ValueError: An argument is not as above.
        ConversionError: The converter failed, the model needs what some device or `min_runtime` has not.

    Example:
        >>> from seq2lite import zoo
        >>> from seq2lite.export import static
        >>> from seq2lite.export.tflite_file.targets import check_target
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50, hidden_dim=16, embedding_dim=16)
        >>> content = static.convert(model, "float32_static", max_source_length=4)
        >>> check_target(content, "portable")["FULLY_CONNECTED"] > 0
        True
    """
    check_model(model)
    limits = length_limits(max_source_length, max_target_length, model.max_positions)
    options = {"integer_io": integer_io, "min_runtime": min_runtime}
    check_quantization(quantization, is_static=True, **options)
    if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
        raise ValueError(f"`batch` must be a positive integer. Received: {batch!r}")
    found = None
    if MODES[quantization].needs_calibration:
        if batch != 1:
            raise ValueError(
                f"`batch` must be 1 with quantization={quantization!r}. Received: {batch}"
            )
        check_tokenizer(model, tokenizer)
        source = _calibration_ids(tokenizer, calibration, max_source_length)
        found = StaticCalibration.of(source, limits["max_target_length"], model)
    model = in_float32(model)
    with scratch_folder() as folder:
        signatures = StaticSignatures(model, **limits, batch=batch)
        save(signatures, folder / "saved_model")
        file = folder / "f.tflite"
        run_isolated("conversion.converter", folder / "saved_model", file, timeout=TIMEOUT)
        content = prepare(file.read_bytes(), "portable")
    return quantize(content, quantization, found, **options)[0]


def _calibration_ids(tokenizer, texts, length):
    """Ids `(n, length)` of sentences of every length, padded."""
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"`calibration` must be a list of texts. Received: {texts!r:.80}")
    rows = sorted((ids[: length - 1] for ids in tokenizer.encode(texts) if ids), key=len)
    if not rows:
        raise ValueError("`calibration` must hold text: it gives the scales. Received: none")
    rows = [
        rows[i] for i in np.linspace(0, len(rows) - 1, min(len(rows), NUM_SENTENCES)).astype(int)
    ]
    source = np.full((len(rows), length), tokenizer.pad_id, np.int32)
    for row, ids in zip(source, rows, strict=True):
        row[: len(ids) + 1] = [*ids, tokenizer.end_id]
    return source
