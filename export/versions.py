"""The least TFLite runtime that can run a file."""

from . import flatbuffer
from .flatbuffer import schema
from .isolation import ConversionError

_KEY = b"min_runtime_version"
_LENGTH = 16  # bytes, of which the converter keeps the last one zero
# For each op the versions in which this project's files have it, with the runtime that brought
# each: from TensorFlow's versioning/runtime_version.cc (2.23).
_RUNTIMES = {
    "ADD": {1: "1.5.0", 2: "1.14.0", 3: "2.4.0", 4: "2.6.0", 5: "2.13.0"},
    "ARG_MAX": {1: "1.9.0", 2: "1.14.0", 3: "2.9.0"},
    "BATCH_MATMUL": {1: "2.3.0", 2: "2.3.0", 3: "2.4.0", 4: "2.5.0"},
    "BROADCAST_TO": {2: "2.5.0", 3: "2.5.0"},
    "CAST": {1: "1.5.0", 2: "2.7.0", 3: "2.8.0", 4: "2.9.0", 5: "2.12.0", 6: "2.15.0", 7: "2.17.0"},
    "CONCATENATION": {1: "1.5.0", 2: "1.14.0", 3: "2.3.0", 4: "2.14.0"},
    "COS": {1: "1.14.0"},
    "CUMSUM": {1: "2.4.0"},
    "DEQUANTIZE": {1: "1.13.1", 2: "1.14.0", 3: "1.15.0", 4: "2.2.0", 5: "2.7.0", 6: "2.18.0"},
    "DIV": {1: "1.6.0", 2: "2.3.0"},
    "DYNAMIC_UPDATE_SLICE": {1: "2.9.0", 2: "2.17.0", 3: "2.19.0", 4: "2.20.0"},
    "EMBEDDING_LOOKUP": {1: "1.13.0", 2: "1.14.0", 3: "1.14.0", 4: "2.18.0"},
    "EQUAL": {1: "1.14.0", 2: "1.14.0", 3: "2.3.0", 4: "2.13.0"},
    "EXP": {1: "1.7.0", 2: "2.12.0"},
    "EXPAND_DIMS": {1: "1.10.0"},
    "FILL": {1: "1.13.0", 2: "2.3.0", 3: "2.5.0", 4: "2.12.0"},
    "FLOOR": {1: "1.9.0"},
    "FLOOR_DIV": {1: "1.14.0", 2: "1.14.0", 3: "2.13.0"},
    "FLOOR_MOD": {1: "1.13.0", 2: "2.13.0"},
    "FULLY_CONNECTED": {
        1: "1.5.0",
        2: "1.10.0",
        3: "1.14.0",
        4: "1.14.0",
        5: "2.0.0",
        6: "2.1.0",
        7: "2.3.0",
        8: "2.3.0",
        9: "2.3.0",
        10: "2.11.0",
        11: "2.15.0",
        12: "2.17.0",
        13: "2.18.0",
    },
    "GATHER": {1: "1.6.0", 2: "1.14.0", 3: "1.15.0", 4: "2.4.0", 5: "2.5.0", 6: "2.13.0"},
    "GATHER_ND": {1: "1.14.0", 2: "2.3.0", 3: "2.5.0", 4: "2.13.0", 5: "2.16.0"},
    "GELU": {1: "2.9.0", 2: "2.9.0"},
    "GREATER": {1: "1.14.0", 2: "1.14.0"},
    "GREATER_EQUAL": {1: "1.14.0", 2: "1.14.0", 3: "2.13.0"},
    "IF": {1: "1.15.0"},
    "LESS": {1: "1.14.0", 2: "1.14.0", 3: "2.13.0"},
    "LESS_EQUAL": {1: "1.14.0", 2: "1.14.0"},
    "LOG": {1: "1.14.0", 2: "2.15.0"},
    "LOGICAL_AND": {1: "1.11.0"},
    "LOGICAL_NOT": {1: "1.11.0"},
    "LOGICAL_OR": {1: "1.11.0"},
    "LOGISTIC": {1: "1.14.0", 2: "1.14.0", 3: "2.3.0"},
    "LOG_SOFTMAX": {1: "1.14.0", 2: "1.14.0"},
    "MAXIMUM": {1: "1.14.0", 2: "1.14.0", 3: "2.3.0", 4: "2.3.0"},
    "MEAN": {1: "1.6.0", 2: "1.14.0", 3: "2.4.0"},
    "MINIMUM": {1: "1.14.0", 2: "1.14.0", 3: "2.3.0", 4: "2.3.0"},
    "MUL": {
        1: "1.5.0",
        2: "1.14.0",
        3: "1.15.0",
        4: "2.3.0",
        5: "2.6.0",
        6: "2.11.0",
        7: "2.13.0",
    },
    "NEG": {1: "1.9.0"},
    "NOT_EQUAL": {1: "1.14.0", 2: "1.14.0", 3: "2.3.0"},
    "PACK": {1: "1.11.0", 2: "1.14.0", 3: "2.3.0", 4: "2.13.0"},
    "PAD": {1: "1.5.0", 2: "1.14.0", 3: "2.4.0", 4: "2.6.0", 5: "2.20.0"},
    "PADV2": {1: "1.9.0", 2: "1.14.0", 3: "2.4.0", 4: "2.6.0", 5: "2.20.0"},
    "POW": {1: "1.10.0"},
    "QUANTIZE": {1: "1.14.0", 2: "1.15.0", 3: "2.7.0"},
    "RANGE": {1: "1.13.0", 2: "2.14.0"},
    "REDUCE_ALL": {1: "2.6.0"},
    "REDUCE_ANY": {1: "1.11.0"},
    "REDUCE_MAX": {1: "1.11.0", 2: "1.14.0", 3: "2.5.0"},
    "REDUCE_MIN": {1: "1.11.0", 2: "1.14.0", 3: "2.5.0"},
    "REDUCE_PROD": {1: "1.11.0", 2: "2.6.0"},
    "RELU": {1: "1.5.0", 2: "2.1.0", 3: "2.5.0"},
    "RESHAPE": {1: "1.5.0"},
    "REVERSE_V2": {1: "1.14.0", 2: "2.2.0", 3: "2.5.0"},
    "RSQRT": {1: "1.10.0", 2: "2.5.0", 3: "2.15.0"},
    "SCATTER_ND": {1: "2.1.0"},
    "SELECT": {1: "1.14.0", 2: "1.14.0", 3: "2.12.0", 4: "2.12.0"},
    "SELECT_V2": {1: "2.2.0", 2: "2.12.0"},
    "SHAPE": {1: "1.10.0"},
    "SIN": {1: "1.9.0"},
    "SLICE": {1: "1.14.0", 2: "1.14.0", 3: "1.14.0", 4: "2.4.0", 5: "2.5.0", 6: "2.14.0"},
    "SOFTMAX": {1: "1.5.0", 2: "1.14.0", 3: "2.3.0"},
    "SPLIT": {1: "1.5.0", 2: "1.14.0", 3: "1.14.0", 4: "2.3.0"},
    "SPLIT_V": {1: "1.13.1", 2: "2.3.0"},
    "SQRT": {1: "1.10.0"},
    "SQUARE": {1: "1.12.0"},
    "SQUARED_DIFFERENCE": {1: "1.13.1", 2: "2.5.0"},
    "SQUEEZE": {1: "1.6.0", 2: "2.5.0"},
    "STRIDED_SLICE": {
        1: "1.6.0",
        2: "1.14.0",
        3: "2.1.0",
        4: "2.2.0",
        5: "2.5.0",
        6: "2.6.0",
        7: "2.14.0",
        8: "2.14.0",
    },
    "SUB": {1: "1.6.0", 2: "1.14.0", 3: "2.3.0", 4: "2.4.0", 5: "2.4.0"},
    "SUM": {1: "1.10.0", 2: "1.15.0"},
    "TANH": {1: "1.14.0", 2: "1.14.0", 3: "2.3.0"},
    "TILE": {1: "1.10.1", 2: "2.2.0", 3: "2.8.0"},
    "TOPK_V2": {1: "1.7.0", 2: "1.14.0", 3: "2.13.0"},
    "TRANSPOSE": {
        1: "1.6.0",
        2: "1.14.0",
        3: "1.15.0",
        4: "2.3.0",
        5: "2.4.0",
        6: "2.12.0",
        7: "2.14.4",
    },
    "UNPACK": {1: "1.11.0", 2: "1.14.0", 3: "2.2.0", 4: "2.3.0"},
    "WHERE": {1: "1.14.0", 2: "2.8.0"},
    "WHILE": {1: "1.15.0"},
    "ZEROS_LIKE": {1: "1.12.0"},
}
_BLOCKWISE = "2.20.0"  # weights with a scale for each block of a row
# Of the ops with kernels for integer activations, the versions that brought those for 8 bits and
# for 16: from TensorFlow's versioning/op_version.cc (2.23), which does not say it of a
# FULLY_CONNECTED with a scale a row: it came with that of float activations.
_INTEGER_VERSIONS = {
    "ADD": (2, 3),
    "BATCH_MATMUL": (2, 3),
    "CONCATENATION": (2, 3),
    "DEQUANTIZE": (2, 3),
    "EXPAND_DIMS": (1, 1),
    "FULLY_CONNECTED": (12, 12),
    "GATHER": (2, 4),
    "LOGISTIC": (2, 3),
    "MEAN": (2, 3),
    "MUL": (2, 4),
    "QUANTIZE": (1, 2),
    "REDUCE_MAX": (2, 3),
    "RELU": (2, 3),
    "RESHAPE": (1, 1),
    "RSQRT": (2, 3),
    "SELECT_V2": (1, 1),
    "SLICE": (2, 4),
    "SOFTMAX": (2, 3),
    "SPLIT": (2, 4),
    "SPLIT_V": (2, 1),
    "STRIDED_SLICE": (2, 1),
    "SUB": (2, 5),
    "SUM": (2, 1),
    "TANH": (2, 3),
    "TRANSPOSE": (2, 5),
}
_MUL_OF_LARGE_SCALES = 3  # 8 bits, the scales' product not below that of the output
INTEGER_RUNTIME = (2, 17)  # that of FULLY_CONNECTED 12, which every integer file has


def least_runtime(content):
    """The least version of the TFLite runtime that has all of a file's ops at their versions.

    The converter says so itself (`min_runtime_version` in the file), of the file that it wrote;
    this says it of one whose weights, and with them its ops' versions, were written anew.

    Args:
        content: The file's bytes.

    Returns:
        str, such as `"2.17.0"`.

    Raises:
        ConversionError: An op, or a version of it, of which nothing is known here.

    Example:
        >>> from seq2lite.export.versions import least_runtime
        >>> least_runtime((bundle / "model.tflite").read_bytes())
        '2.9.0'
    """
    return _least(flatbuffer.read(content))


def set_least_runtime(model):
    """Writes the least runtime into a file's tables (a `schema.ModelT`), as the converter does."""
    flatbuffer.set_metadata(model, _KEY, _least(model).encode().ljust(_LENGTH, b"\0"))


def raise_integer_versions(model):
    """Gives the ops that compute in integers the versions that brought their integer kernels.

    A runtime that is too old then says so as it opens the file, where it would otherwise end the
    process in the first step.

    Args:
        model: A file's tables, whose activations are integers.

    Raises:
        ConversionError: An op has no integer kernel.
    """
    integers = (schema.TensorType.INT8, schema.TensorType.INT16)
    for graph in model.subgraphs:
        for operator in graph.operators:
            name = flatbuffer.op_name(model, operator)
            tensors = operator.inputs if name == "DEQUANTIZE" else operator.outputs
            tensor = graph.tensors[tensors[0]]
            if tensor.type not in integers:
                continue
            if name not in _INTEGER_VERSIONS:
                raise ConversionError(
                    "The ops of an integer file must have integer kernels, as "
                    f"{', '.join(_INTEGER_VERSIONS)} have. Received: {name}, which makes "
                    f"{tensor.name.decode()}"
                )
            version = _INTEGER_VERSIONS[name][integers.index(tensor.type)]
            if name == "MUL" and tensor.type == schema.TensorType.INT8:
                a, b = (graph.tensors[t].quantization.scale[0] for t in operator.inputs)
                if a * b >= tensor.quantization.scale[0]:
                    version = _MUL_OF_LARGE_SCALES
            code = model.operatorCodes[operator.opcodeIndex]
            operator.opcodeIndex = flatbuffer.op_code(
                model, flatbuffer.op_of(model, operator), max(version, code.version)
            )


def stated_runtime(content):
    """The `min_runtime_version` in a file's metadata; None if it has none."""
    model = flatbuffer.read(content)
    for entry in model.metadata or []:
        if entry.name == _KEY:
            return bytes(model.buffers[entry.buffer].data).rstrip(b"\0").decode()
    return None


def runs_on(content, version):
    """Whether a runtime of `version` (such as `"2.9"`, which means its first) has all ops."""
    return version_numbers(least_runtime(content)) <= version_numbers(version)


def ops_beyond(content, version):
    """What keeps a file from a runtime of `version`: op and its version to the runtime it needs."""
    return {
        f"{name} v{number}": runtime
        for (name, number), runtime in _runtimes(flatbuffer.read(content)).items()
        if version_numbers(runtime) > version_numbers(version)
    }


def require_version(min_runtime, least, what_for):
    """Raises ValueError unless `min_runtime` is None, or a version of `least` or later.

    Args:
        min_runtime: Such as `"2.9"` or `"2.9.1"`.
        least: Its first numbers, such as `(2, 9)`.
        what_for: What needs those, for the error.
    """
    if min_runtime is None:
        return
    parts = min_runtime.split(".") if isinstance(min_runtime, str) else []
    if len(parts) < 2 or not all(part.isdecimal() and part.isascii() for part in parts):
        raise ValueError(
            f'`min_runtime` must be a version, such as "2.9". Received: {min_runtime!r}'
        )
    if not version_numbers(min_runtime) >= (*least, 0):
        raise ValueError(
            f"`min_runtime` must be {least[0]}.{least[1]} or later with {what_for}. "
            f"Received: {min_runtime!r}"
        )


def require_runs_on(content, min_runtime):
    """Raises ConversionError, naming the ops, unless a runtime of `min_runtime` (None: any) has all."""
    if min_runtime is not None and not runs_on(content, min_runtime):
        raise ConversionError(
            f"`min_runtime` must be {least_runtime(content)} or later for this model: it has "
            f"{', '.join(ops_beyond(content, min_runtime))}. Received: {min_runtime!r}"
        )


def _least(model):
    return max(_runtimes(model).values(), key=version_numbers)


def _runtimes(model):
    """(op, version) to the runtime that brought it, for all that stand in a graph."""
    used = {operator.opcodeIndex for graph in model.subgraphs for operator in graph.operators or []}
    found = {}
    for index in sorted(used):
        code = model.operatorCodes[index]
        name = flatbuffer.OP_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
        runtime = _RUNTIMES.get(name, {}).get(code.version)
        if runtime is None:
            raise ConversionError(
                "The ops of a file must be in export/versions.py, for its least runtime. "
                f"Received: {name} version {code.version}"
            )
        found[name, code.version] = runtime
    # Blocks raise no op's version.
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            details = getattr(tensor.quantization, "detailsType", None)
            if details == schema.QuantizationDetails.BlockwiseQuantization:
                found["BLOCKWISE_QUANTIZATION", 1] = _BLOCKWISE
    return found


def version_numbers(version):
    """A version's numbers, three of them, comparable."""
    numbers = [int(number) for number in str(version).split(".")]
    return (*numbers, 0, 0)[:3]
