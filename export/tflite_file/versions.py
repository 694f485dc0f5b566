"""The minimum TFLite runtime of a file."""

from ..system.isolation import ConversionError
from . import flatbuffer
from .flatbuffer import schema
from .version_tables import BLOCKWISE, INTEGER_VERSIONS, MUL_WITH_LARGE_SCALES, RUNTIMES

_KEY = b"min_runtime_version"
_LENGTH = 16  # bytes; the converter keeps the last one zero


def required_runtime(content):
    """Return the oldest TFLite runtime that has all ops of a file, in their versions.

    The converter states this version of the file that it wrote (`min_runtime_version`). Quantization
    changes the versions of ops, and with them the minimum runtime.

    Args:
        content: The file's bytes.

    Returns:
        str, such as `"2.17.0"`.

    Raises:
        ConversionError: An op, or its version, is not in the table of versions.

    Example:
        >>> from seq2lite.export.tflite_file.versions import required_runtime
        >>> required_runtime((bundle / "model.tflite").read_bytes())
        '2.9.0'
    """
    return _required_runtime(flatbuffer.read(content))


def set_min_runtime(model):
    """Store the minimum runtime in a file's tables (a `schema.ModelT`), as the converter does."""
    flatbuffer.set_metadata(model, _KEY, _required_runtime(model).encode().ljust(_LENGTH, b"\0"))


def raise_integer_versions(model):
    """Give ops with integer activations the versions that introduced their integer kernels.

    A runtime that is too old then refuses the file when it opens it. Otherwise it would end the
    process in the first step.

    Args:
        model: The tables of a file with integer activations.

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
            if name not in INTEGER_VERSIONS:
                raise ConversionError(
                    "The ops of an integer file must have integer kernels, as "
                    f"{', '.join(INTEGER_VERSIONS)} have. Received: {name}, which computes "
                    f"{tensor.name.decode()}"
                )
            version = INTEGER_VERSIONS[name][integers.index(tensor.type)]
            if name == "MUL" and tensor.type == schema.TensorType.INT8:
                a, b = (graph.tensors[t].quantization.scale[0] for t in operator.inputs)
                if a * b >= tensor.quantization.scale[0]:
                    version = MUL_WITH_LARGE_SCALES
            code = model.operatorCodes[operator.opcodeIndex]
            operator.opcodeIndex = flatbuffer.op_code(
                model, flatbuffer.op_of(model, operator), max(version, code.version)
            )


def stated_runtime(content):
    """Return the `min_runtime_version` in a file's metadata, or None."""
    stated = flatbuffer.read_metadata(flatbuffer.read(content), _KEY)
    return None if stated is None else stated.rstrip(b"\0").decode()


def ops_beyond(content, version):
    """Return the ops of a file that a runtime lacks, with the runtime that each needs.

    Args:
        content: The file's bytes.
        version: Version of the runtime, such as `"2.9"`, the same as `"2.9.0"`.

    Returns:
        dict such as `{"FULLY_CONNECTED v12": "2.17.0"}`.
    """
    return {
        f"{name} v{number}": runtime
        for (name, number), runtime in _runtimes(flatbuffer.read(content)).items()
        if version_numbers(runtime) > version_numbers(version)
    }


def require_version(oldest, minimum, condition):
    """Raise ValueError unless `min_runtime` is None or a version of at least `minimum`.

    Args:
        oldest: The argument `min_runtime`, such as `"2.9"`, `"2.9.1"` or None.
        minimum: Major and minor number, such as `(2, 9)`.
        condition: The argument that needs `minimum`, for the error.
    """
    if oldest is None:
        return
    parts = oldest.split(".") if isinstance(oldest, str) else []
    if len(parts) < 2 or not all(part.isdecimal() and part.isascii() for part in parts):
        raise ValueError(f"`min_runtime` must be a str such as '2.9'. Received: {oldest!r}")
    if not version_numbers(oldest) >= (*minimum, 0):
        raise ValueError(
            f"`min_runtime` must be {minimum[0]}.{minimum[1]} or later with {condition}. "
            f"Received: {oldest!r}"
        )


def require_runs_on(content, oldest):
    """Raise ConversionError unless the runtime `oldest` (None: any) has all ops of a file."""
    beyond = {} if oldest is None else ops_beyond(content, oldest)
    if beyond:
        raise ConversionError(
            f"`min_runtime` must be {required_runtime(content)} or later for this model: it has "
            f"{', '.join(beyond)}. Received: {oldest!r}"
        )


def version_numbers(version):
    """Return the first three numbers of a version, comparable."""
    numbers = [int(number) for number in str(version).split(".")]
    return (*numbers, 0, 0)[:3]


def _required_runtime(model):
    return max(_runtimes(model).values(), key=version_numbers)


def _runtimes(model):
    """Map each (op, version) in a file's graphs to the runtime that introduced it."""
    used = {operator.opcodeIndex for graph in model.subgraphs for operator in graph.operators or []}
    found = {}
    for index in sorted(used):
        code = model.operatorCodes[index]
        name = flatbuffer.OP_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
        runtimes = dict(enumerate(RUNTIMES.get(name, "").split(), start=1))
        runtime = runtimes.get(code.version, "-")
        if runtime == "-":
            raise ConversionError(
                "The minimum runtime of every op must be in export/tflite_file/version_tables.py. "
                f"Received: {name} version {code.version}"
            )
        found[name, code.version] = runtime
    # Blockwise scales do not raise the version of an op.
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            details = getattr(tensor.quantization, "detailsType", None)
            if details == schema.QuantizationDetails.BlockwiseQuantization:
                found["BLOCKWISE_QUANTIZATION", 1] = BLOCKWISE
    return found
