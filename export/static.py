"""`encode` and `decode_step` of static shapes, of ops that every runtime has.

For GPU delegates, NPUs, web runtimes and microcontrollers: no loop, no dynamic size, rank 4 at the
most, no int64. A host runs the search (`host_search`).
"""

import numpy as np

from .checks import check_model, check_tokenizer, length_limits
from .conversion.convert import TIMEOUT
from .conversion.precision import in_float32
from .conversion.saved_model import save
from .quantization.activations import quantize_static
from .quantization.modes import BITS, INTEGER_MODES, MODES
from .signatures.static import PortableSignatures
from .system.atomic import scratch_folder
from .system.isolation import run_isolated
from .tflite_file.rewrites import as_select_v2
from .tflite_file.targets import check_portable
from .tflite_file.version_tables import INTEGER_RUNTIME
from .tflite_file.versions import require_runs_on, require_version

# Sentences of the calibration; of more of them ranges hardly change.
MOST_SENTENCES = 64


def convert(
    model,
    mode,
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

    | mode | weights of products | everything else |
    |---|---|---|
    | `"float32"` | float32 | float32 |
    | `"int8_static"` | int8, a scale a row | int8, one scale a tensor |
    | `"int16x8"` | int8, a scale a row | int16, one scale a tensor |

    Args:
        model: A `zoo.Seq2Seq`.
        mode: One of MODES.
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
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50, hidden_dim=16, embedding_dim=16)
        >>> content = portable.convert(model, "float32", max_source_length=4)
        >>> portable.check_portable(content)["FULLY_CONNECTED"] > 0
        True
    """
    check_model(model)
    limits = length_limits(max_source_length, max_target_length, model.max_positions)
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {MODES}. Received: {mode!r}")
    if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
        raise ValueError(f"`batch` must be a positive integer. Received: {batch!r}")
    least = INTEGER_RUNTIME if mode in INTEGER_MODES else (1, 0)
    require_version(min_runtime, least, f"mode={mode!r}")
    source = None
    if mode == "float32":
        if integer_io:
            raise ValueError("`integer_io` must be False with mode='float32'. Received: True")
    else:
        if batch != 1:
            raise ValueError(f"`batch` must be 1 with mode={mode!r}. Received: {batch}")
        check_tokenizer(model, tokenizer)
        source = _calibration_ids(tokenizer, calibration, max_source_length)
    model = in_float32(model)
    with scratch_folder() as folder:
        signatures = PortableSignatures(model, **limits, batch=batch)
        save(signatures, folder / "saved_model")
        file, inputs, observed = (folder / name for name in ("f.tflite", "in.npz", "out.npz"))
        run_isolated("conversion.converter", folder / "saved_model", file, timeout=TIMEOUT)
        content = as_select_v2(file.read_bytes())
        check_portable(content)
        if mode == "float32":
            require_runs_on(content, min_runtime)
            return content
        file.write_bytes(content)
        ids = {name: getattr(model, name) for name in ("start_id", "end_id", "pad_id")}
        np.savez(inputs, source=source, max_length=limits["max_target_length"], **ids)
        run_isolated("quantization.observe", file, inputs, observed, timeout=TIMEOUT)
        content = quantize_static(
            content, dict(np.load(observed)), bits=BITS[mode], integer_io=integer_io
        )
        require_runs_on(content, min_runtime)
        return content


def _calibration_ids(tokenizer, texts, length):
    """Ids `(n, length)` of sentences of every length, padded."""
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"`calibration` must be a list of texts. Received: {texts!r:.80}")
    rows = sorted((ids[: length - 1] for ids in tokenizer.encode(texts) if ids), key=len)
    if not rows:
        raise ValueError("`calibration` must hold text: it gives the scales. Received: none")
    rows = [
        rows[i] for i in np.linspace(0, len(rows) - 1, min(len(rows), MOST_SENTENCES)).astype(int)
    ]
    source = np.full((len(rows), length), tokenizer.pad_id, np.int32)
    for row, ids in zip(source, rows, strict=True):
        row[: len(ids) + 1] = [*ids, tokenizer.end_id]
    return source
