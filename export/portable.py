"""`encode` and `decode_step` of static shapes, of ops that every runtime has.

For GPU delegates, NPUs, web runtimes and microcontrollers: no loop, no dynamic size, rank 4 at the
most, no int64. A host runs the search (`host_search`).
"""

import numpy as np

from . import flatbuffer
from .isolation import ConversionError, run_isolated
from .portable_signatures import PortableSignatures
from .signatures import check_model, check_tokenizer, in_float32, length_limits, save
from .static_quantize import quantize_static
from .tflite import TIMEOUT, check_ops
from .versions import INTEGER_RUNTIME, require_runs_on, require_version
from .whole import scratch_folder

INTEGER_MODES = ("int8_static", "int16x8")
MODES = ("float32", *INTEGER_MODES)
BITS = {"int8_static": 8, "int16x8": 16}  # of activations
# Sentences of the calibration; of more of them ranges hardly change.
MOST_SENTENCES = 64

# What some device lacks: GPU delegates all but GELU, microcontrollers most of them.
NOT_PORTABLE = (
    "DYNAMIC_UPDATE_SLICE",
    "WHILE",
    "IF",
    "PACK",
    "SHAPE",
    "ONE_HOT",
    "GELU",
    "GATHER_ND",
    "REVERSE_V2",
    "BROADCAST_TO",
    "RANGE",
    "FILL",
    "EMBEDDING_LOOKUP",
)
MAX_RANK = 4


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
        >>> from seq2lite.export import portable
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
        run_isolated(".convert", folder / "saved_model", file, timeout=TIMEOUT)
        content = as_select_v2(file.read_bytes())
        check_portable(content)
        if mode == "float32":
            require_runs_on(content, min_runtime)
            return content
        file.write_bytes(content)
        ids = {name: getattr(model, name) for name in ("start_id", "end_id", "pad_id")}
        np.savez(inputs, source=source, max_length=limits["max_target_length"], **ids)
        run_isolated(".static_calibration", file, inputs, observed, timeout=TIMEOUT)
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


def check_portable(content):
    """Counts a file's ops by name; raises ConversionError at what some device cannot run.

    Args:
        content: A TFLite file's bytes.

    Raises:
        ConversionError: It names each op, type or rank that is in the way, and a tensor of it.
    """
    counts = check_ops(content)
    model = flatbuffer.read(content)
    faults = [f"{name} ({counts[name]} of them)" for name in NOT_PORTABLE if counts[name]]
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            shape = [] if tensor.shape is None else list(tensor.shape)
            name = tensor.name.decode()
            if tensor.type in (
                flatbuffer.schema.TensorType.INT64,
                flatbuffer.schema.TensorType.STRING,
            ):
                faults.append(f"64-bit integers or strings in {name}")
            if len(shape) > MAX_RANK:
                faults.append(f"rank {len(shape)} of {name}")
            if tensor.shapeSignature is not None and -1 in tensor.shapeSignature:
                faults.append(f"a dynamic size of {name}")
    if faults:
        raise ConversionError(
            "A portable file must have static shapes of rank 4 at the most, 32-bit integers, and none "
            f"of {', '.join(NOT_PORTABLE)}. Received: {'; '.join(faults[:8])}"
        )
    return counts


def single_signature(content, name):
    """A file of one signature of `content`: microcontrollers run the first graph of a file only."""
    model = flatbuffer.read(content)
    model.signatureDefs = [s for s in model.signatureDefs if s.signatureKey == name.encode()]
    (signature,) = model.signatureDefs
    model.subgraphs = [model.subgraphs[signature.subgraphIndex]]
    signature.subgraphIndex = 0
    flatbuffer.drop_unused(model)
    return flatbuffer.write(model)


def as_select_v2(content):
    """The same file with SELECT_V2 in the place of SELECT, which microcontrollers have not."""
    model = flatbuffer.read(content)
    schema = flatbuffer.schema
    for place, code in enumerate(model.operatorCodes):
        if code.builtinCode == schema.BuiltinOperator.SELECT:
            code.builtinCode = schema.BuiltinOperator.SELECT_V2
            code.deprecatedBuiltinCode, code.version = schema.BuiltinOperator.SELECT_V2, 1
            for graph in model.subgraphs:
                for operator in graph.operators:
                    if operator.opcodeIndex == place:
                        operator.builtinOptionsType = schema.BuiltinOptions.SelectV2Options
                        operator.builtinOptions = schema.SelectV2OptionsT()
    return flatbuffer.write(model)
