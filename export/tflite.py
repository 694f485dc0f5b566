"""From a model to one TFLite file of built-in ops."""

import tempfile
from collections import Counter
from pathlib import Path

from . import flatbuffer
from .flatbuffer import schema
from .isolation import ConversionError, run_isolated
from .signatures import Signatures, check_model, in_float32, save
from .whole import write_whole

QUANTIZATIONS = ("float32", "float16", "int8")
TIMEOUT = 900  # seconds; a model of 10 M parameters takes under one minute
# Ops of the built-in list that are there for the converter's failures, not for a device.
_NOT_FOR_DEVICES = {"CUSTOM", "DELEGATE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}


def to_tflite(model, path, quantization="int8"):
    """Writes a model as one TFLite file with three signatures that share its weights.

    | signature | takes | gives |
    |---|---|---|
    | `generate` | `source` int32 `(batch, source_length)`, `max_length` int32 `()` | `tokens` int32 `(batch, length)`, `length` int32 `(batch,)` |
    | `encode` | `source` | the state, by name |
    | `decode_step` | `token` int32 `(batch,)`, the state | `logits` float32 `(batch, vocabulary_size)`, the state |

    Batch and lengths are dynamic. The file is checked to hold built-in ops only, and all weights;
    it is not compared with the model: `to_bundle` does that too.

    Args:
        model: A `zoo.Seq2Seq`; one of mixed precision is exported in float32.
        path: File to write. It is replaced once the conversion has succeeded.
        quantization: `"int8"` (dynamic range: int8 weights, float activations), `"float16"`
            (weights; half the size, no speed) or `"float32"`.

    Raises:
        ValueError: An argument is not as above.
        ConversionError: The converter failed, or the file holds an op that no device has.

    Example:
        >>> from seq2lite import export, zoo
        >>> model = zoo.build("rnn_tiny", vocabulary_size=50)
        >>> export.to_tflite(model, folder / "model.tflite", quantization="float32")
    """
    check_model(model)
    check_quantization(quantization)
    if Path(path).is_dir():
        raise ValueError(f"`path` must be a file to write. Received: {path}, which is a folder")
    with tempfile.TemporaryDirectory(prefix="seq2lite-") as folder:
        signatures = save_signatures(in_float32(model), Path(folder) / "saved_model")
        content = convert_saved(signatures, quantization)
    write_whole(path, lambda partial: partial.write_bytes(content))


def save_signatures(model, folder):
    """The SavedModel that is converted; returns its folder."""
    signatures = Signatures(model)
    save(signatures, folder, signatures.functions)
    return folder


def convert_saved(saved_model, quantization):
    """Converts in a process of its own, checks the ops, and returns the file's bytes."""
    output = Path(saved_model).parent / f"{quantization}.tflite"
    run_isolated(".convert", saved_model, output, quantization, timeout=TIMEOUT)
    content = output.read_bytes()
    check_ops(content)
    return content


def check_ops(content):
    """Counts a file's ops by name. Raises ConversionError at one that is no device's built-in."""
    model = flatbuffer.read(content)
    counts = Counter()
    codes = []
    for code in model.operatorCodes:
        builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
        name = _OP_NAMES[builtin]
        custom = code.customCode.decode() if code.customCode else ""
        codes.append((name, custom))
    for graph in model.subgraphs:
        for operator in graph.operators or []:
            name, custom = codes[operator.opcodeIndex]
            if name in _NOT_FOR_DEVICES:
                outputs = [graph.tensors[i].name.decode() for i in operator.outputs]
                raise ConversionError(
                    "The file must hold built-in TFLite ops only. "
                    f"Received: {custom or name}, which makes {outputs}"
                )
            counts[name] += 1
    return counts


_OP_NAMES = {
    number: name for name, number in vars(schema.BuiltinOperator).items() if name[0].isupper()
}


def check_quantization(quantization):
    """Raises ValueError unless it is one of QUANTIZATIONS."""
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"`quantization` must be one of {QUANTIZATIONS}. Received: {quantization!r}"
        )
