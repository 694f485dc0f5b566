"""Storing the weights of a TFLite file in fewer bits.

Every quantization of weights rewrites the weights of one float32 file. Its graphs stay the same: an
op with 8-bit or 4-bit weights quantizes its activations itself at run time (dynamic range).
"""

from dataclasses import dataclass

import numpy as np

from ..tflite_file import flatbuffer
from ..tflite_file.flatbuffer import schema
from ..tflite_file.versions import set_min_runtime
from .rounding import Grid, round_calibrated, round_to_nearest

# Formats of integer weights. The kernels require blocks of 32 inputs.
GRIDS = {"int8": Grid(8), "int8_tensor": Grid(8, per_row=False), "int4": Grid(4, block=32)}

MIN_SIZE = 1024  # elements; smaller weights stay float32, as in the converter

_FULLY_CONNECTED = schema.BuiltinOperator.FULLY_CONNECTED

_LOOKUP = schema.BuiltinOperator.EMBEDDING_LOOKUP

_TENSOR = schema.TensorType

_READERS = {"FULLY_CONNECTED", "EMBEDDING_LOOKUP", "GATHER", "BATCH_MATMUL"}


# Versions of the ops that introduced these weights: TensorFlow's versioning/op_version.cc.
_PRODUCT_PER_TENSOR, _PRODUCT_PER_ROW = 9, 12

_LOOKUP_PER_TENSOR, _LOOKUP_PER_ROW = 3, 4


_DEQUANTIZE_FLOAT16 = 3


@dataclass(frozen=True)
class Weight:
    """A matrix of a float32 file, `(rows, inputs)`.

    Attributes:
        buffer: Its index among the file's buffers.
        name: The name of its tensor.
        shape: Rows and inputs.
        is_looked_up: Whether it is a table of embeddings, tied to the output projection or not.
        is_product: Whether activations are multiplied by it.
    """

    buffer: int
    name: str
    shape: tuple
    is_looked_up: bool
    is_product: bool

    @property
    def size(self):
        return self.shape[0] * self.shape[1]

    def stored_as(self, kind):
        """Return the format that the weight is stored in if `kind` is requested."""
        # A look-up needs rows of complete bytes.
        is_partial = kind in GRIDS and self.shape[1] * GRIDS[kind].bits % 8
        return "int8" if is_partial and self.is_looked_up else kind


def weights_of(model):
    """Return the `Weight`s of a file's tables that can be stored in fewer bits, the largest first."""
    uses, others = _uses(model)
    return sorted(
        (
            Weight(
                buffer=buffer,
                name=used[0][1].name.decode(),
                shape=tuple(int(n) for n in used[0][1].shape),
                is_looked_up=any(code == _LOOKUP for code, _ in used),
                is_product=any(code == _FULLY_CONNECTED for code, _ in used),
            )
            for buffer, used in uses.items()
            if buffer not in others
        ),
        key=lambda weight: -weight.size,
    )


def kept_in_float32(model):
    """Return names and shapes of the matrices that must stay float32 because of how ops read them.

    The list is empty if they are less than 1 % of the file, such as tables of relative positions.
    """
    _, others = _uses(model)
    matrices = {
        tensor.buffer: f"{tensor.name.decode()} {tuple(map(int, tensor.shape))}"
        for graph in model.subgraphs
        for operator in graph.operators
        if flatbuffer.op_name(model, operator) in _READERS
        for tensor in (graph.tensors[index] for index in operator.inputs if index >= 0)
        if tensor.buffer in others
    }
    size = sum(len(model.buffers[buffer].data) for buffer in matrices)
    total = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    return sorted({*matrices.values()}) if 100 * size >= total else []


def _uses(model):
    """Map buffers to the (op, tensor) that read them as a weight; and buffers with other readers."""
    uses, others = {}, set()
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = flatbuffer.op_of(model, operator)
            for place, index in enumerate(operator.inputs):
                tensor = graph.tensors[index] if index >= 0 else None
                if tensor is None or not _is_matrix(model, tensor):
                    continue
                if place == 1 and code in (_FULLY_CONNECTED, _LOOKUP):
                    uses.setdefault(tensor.buffer, []).append((code, tensor))
                else:
                    others.add(tensor.buffer)
    return uses, others


def _is_matrix(model, tensor):
    data = model.buffers[tensor.buffer].data
    return (
        tensor.type == _TENSOR.FLOAT32
        and data is not None
        and len(data) >= 4 * MIN_SIZE
        and len(tensor.shape) == 2
    )


def read_weight(model, weight):
    """Return the float32 values `(rows, inputs)` of a `Weight`."""
    return np.frombuffer(bytes(model.buffers[weight.buffer].data), np.float32).reshape(weight.shape)


def store_weights(content, formats, second_moments=None, rounded=None):
    """Store the weights of a float32 file in other formats.

    Args:
        content: The file's bytes.
        formats: Format of each weight, by buffer: `"float32"`, `"float16"`, `"int8"` (one scale per
            row), `"int8_tensor"` (one scale, for runtimes before 2.18) or `"int4"` (one scale per 32
            inputs of a row; one per row if their number is no multiple of 32).
        second_moments: By buffer, the mean `(inputs, inputs)` of x xᵀ over the activations x that are
            multiplied by the weight. 4-bit weights with one are rounded by GPTQ, which keeps the
            products close; others are rounded to the nearest value.
        rounded: dict that caches rounded weights, for further calls with other formats.

    Returns:
        The bytes of the new file.

    Raises:
        ValueError: A weight is not finite in its format.
    """
    model = flatbuffer.read(content)
    rounded = {} if rounded is None else rounded
    for weight in weights_of(model):
        kind = weight.stored_as(formats.get(weight.buffer, "float32"))
        if kind == "float32":
            continue
        values = read_weight(model, weight)
        limit = np.finfo(np.float16 if kind == "float16" else np.float32).max
        require_finite(weight.name, values, kind, limit)
        if kind == "float16":
            _store_float16(model, weight, values)
        else:
            grid = GRIDS[kind].fitted(weight.shape[1])
            if (weight.buffer, kind) not in rounded:
                moment = (second_moments or {}).get(weight.buffer) if grid.bits == 4 else None
                if moment is not None and weight.is_looked_up:
                    # The error of a row that is looked up counts by itself too.
                    moment = moment + np.trace(moment) / len(moment) * np.eye(len(moment))
                rounded[weight.buffer, kind] = (
                    round_to_nearest(values, grid)
                    if moment is None
                    else round_calibrated(values, grid, moment)
                )
            _store_integers(model, weight, grid, *rounded[weight.buffer, kind])
    _raise_versions(model)
    set_min_runtime(model)
    return flatbuffer.write(model)


def require_finite(name, values, kind, limit):
    """Raise ValueError unless the values of a weight are finite, and at most `limit`."""
    largest = np.abs(values).max()
    if not largest <= limit:  # false for NaN
        raise ValueError(
            f"Every weight must be finite in {kind}, at most {limit:.4g}. "
            f"Received: {largest} in {name}"
        )


def _store_integers(model, weight, grid, integers, scales):
    packed = integers.astype(np.int8).view(np.uint8).ravel()
    if grid.bits == 4:
        packed = np.append(packed, np.zeros(len(packed) % 2, np.uint8))
        packed = (packed[0::2] & 15) | (packed[1::2] << 4)
    model.buffers[weight.buffer].data = packed
    scale_buffer = None
    if grid.block < weight.shape[1]:
        scale_buffer = flatbuffer.add_buffer(model, scales.astype(np.float16))
    for graph, tensor in _tensors_of(model, weight):
        tensor.type = _TENSOR.INT4 if grid.bits == 4 else _TENSOR.INT8
        tensor.quantization = schema.QuantizationParametersT()
        if scale_buffer is None:
            scale = scales[:, 0] if grid.per_row else scales[:1, 0]
            tensor.quantization.scale = scale.astype(np.float32)
            tensor.quantization.zeroPoint = np.zeros(len(scale), np.int64)
        else:
            place = flatbuffer.add_tensor(
                graph,
                name=tensor.name + b"_scales",
                shape=np.array(scales.shape, np.int32),
                type=_TENSOR.FLOAT16,
                buffer=scale_buffer,
            )
            tensor.quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
            tensor.quantization.details = schema.BlockwiseQuantizationT(
                scales=place, zeroPoints=-1, blockSize=grid.block
            )


def _store_float16(model, weight, values):
    """Each graph converts the weight to float32; a runtime does so once, when it prepares the graph."""
    model.buffers[weight.buffer].data = values.astype(np.float16).view(np.uint8).ravel()
    for graph, tensor in list(_tensors_of(model, weight)):
        place = flatbuffer.add_tensor(
            graph,
            name=tensor.name + b"_float16",
            shape=tensor.shape,
            type=_TENSOR.FLOAT16,
            buffer=weight.buffer,
        )
        tensor.buffer, code = 0, schema.BuiltinOperator.DEQUANTIZE
        widened = graph.tensors.index(tensor)
        widen = flatbuffer.new_op(model, code, place, widened, _DEQUANTIZE_FLOAT16)
        graph.operators.insert(0, widen)


def _tensors_of(model, weight):
    for graph in model.subgraphs:
        for tensor in list(graph.tensors):
            if tensor.buffer == weight.buffer:
                yield graph, tensor


def _raise_versions(model):
    """Give the ops with integer weights the version that can read them."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = flatbuffer.op_of(model, operator)
            if code not in (_FULLY_CONNECTED, _LOOKUP):
                continue
            weight = graph.tensors[operator.inputs[1]]
            if weight.type not in (_TENSOR.INT8, _TENSOR.INT4):
                continue
            scale = weight.quantization.scale
            is_one = scale is not None and len(scale) == 1
            if code == _LOOKUP:
                version = _LOOKUP_PER_TENSOR if is_one else _LOOKUP_PER_ROW
            else:
                operator.builtinOptions.asymmetricQuantizeInputs = True
                version = _PRODUCT_PER_TENSOR if is_one else _PRODUCT_PER_ROW
            operator.opcodeIndex = flatbuffer.op_code(model, code, version)
