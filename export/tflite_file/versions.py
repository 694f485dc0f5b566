"""The least TFLite runtime that can run a file."""

from ..system.isolation import ConversionError
from . import flatbuffer
from .flatbuffer import schema
from .version_tables import _BLOCKWISE, _INTEGER_VERSIONS, _MUL_OF_LARGE_SCALES, _RUNTIMES

_KEY = b"min_runtime_version"


_LENGTH = 16  # bytes, of which the converter keeps the last one zero


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
        >>> from seq2lite.export.tflite_file.versions import least_runtime
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
