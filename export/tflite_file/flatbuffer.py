"""Reading and writing the tables of a TFLite file, with equal vectors and strings stored once."""

import copy
import hashlib

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ..system.isolation import ConversionError

METADATA = b"TFLITE_METADATA"  # the key of the descriptions of a file's tensors
BUFFER_ALIGNMENT = 16  # bytes; the schema requires it of weights (force_align)
MAX_SIZE = 2_000_000_000  # bytes of the weights in tables: their offsets have 31 bits
_LOCATION = b"buffer_location"  # the converter states in it that weights are behind the tables
OP_NAMES = {
    number: name for name, number in vars(schema.BuiltinOperator).items() if name[0].isupper()
}
TYPE_NAMES = {number: name for name, number in vars(schema.TensorType).items() if name.isupper()}


def read(content):
    """Return the tables of a TFLite file's bytes, as a `schema.ModelT`.

    Weights are views of the bytes. Files of more than 2 GB contain them behind the tables; they are
    read like any other.

    Raises:
        ConversionError: The file is cut, or has contents that `write` would lose.
    """
    model = schema.ModelT.InitFromPackedBuf(content)
    for buffer in model.buffers or []:
        if buffer.offset > 1:  # the schema: 0 and 1 stand for no offset
            if buffer.offset + buffer.size > len(content):
                raise ConversionError(
                    f"A TFLite file must contain all of its weights. Received: {len(content):,} "
                    f"bytes, and weights up to byte {buffer.offset + buffer.size:,}"
                )
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0
    remove_metadata(model, _LOCATION)
    _refuse_unsupported(model)
    return model


def write(model):
    """Return the bytes of a TFLite file with the tables of a `schema.ModelT`.

    The weights of a file of more than 2 GB, the limit of its tables, are written behind them.
    """
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    return _write_tables(model) if size < MAX_SIZE else _write_large(model)


def _write_tables(model):
    builder = _SharingBuilder(0)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _write_large(model):
    """Write the tables without weights, then the weights, each once."""
    tables, parts, places = copy.copy(model), [], {}
    tables.buffers = [copy.copy(buffer) for buffer in model.buffers]
    outside = [buffer for buffer in tables.buffers if buffer.data is not None and len(buffer.data)]
    weights = [buffer.data for buffer in outside]
    for buffer in outside:
        # Numbers that are not zero: as many bytes as those that replace them.
        buffer.data, buffer.offset, buffer.size = None, 2, 2
    end = len(_write_tables(tables))
    for buffer, data in zip(outside, weights, strict=True):
        key = hashlib.sha256(data).digest()
        if key not in places:
            padding = -end % BUFFER_ALIGNMENT
            parts += [bytes(padding), data]
            places[key] = end + padding
            end += padding + len(data)
        buffer.offset, buffer.size = places[key], len(data)
    return b"".join([_write_tables(tables), *parts])


def _refuse_unsupported(model):
    """Raise ConversionError for contents that refer to bytes outside of the tables."""
    operators = [o for graph in model.subgraphs for o in graph.operators or []]
    for name, is_found in (
        ("weights in other files", model.externalBuffers or model.externalBufferGroups),
        ("options of custom ops behind the tables", any(map(_has_large_options, operators))),
    ):
        if is_found:
            raise ConversionError(f"A TFLite file must be complete. Received: {name}")


def _has_large_options(operator):
    return operator.largeCustomOptionsOffset > 1


def graph_of(model, signature):
    """Return the index of the graph that computes a signature.

    If the graph of the signature only calls another one, it is the index of that one.
    """
    index = next(
        s.subgraphIndex for s in model.signatureDefs if s.signatureKey == signature.encode()
    )
    graph = model.subgraphs[index]
    last = graph.operators[-1]
    is_call = op_name(model, last) == "IF" and {*graph.outputs} <= {*last.outputs}
    return last.builtinOptions.thenSubgraphIndex if is_call else index


def op_of(model, operator):
    """Return an operator's number in the schema."""
    code = model.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def op_name(model, operator):
    """Return an operator's name, such as `"FULLY_CONNECTED"`."""
    return OP_NAMES[op_of(model, operator)]


def op_code(model, builtin, version=1):
    """Return the index of an op's code in the file's table; add the code if it is missing."""
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == builtin and code.version == version:
            return index
    model.operatorCodes.append(
        schema.OperatorCodeT(
            deprecatedBuiltinCode=min(builtin, 127), builtinCode=builtin, version=version
        )
    )
    return len(model.operatorCodes) - 1


def new_op(model, builtin, inputs, outputs, version=1, **fields):
    """Return an operator; `inputs` and `outputs` are the index of a tensor, or a list of them."""
    return schema.OperatorT(
        opcodeIndex=op_code(model, builtin, version),
        inputs=np.atleast_1d(np.array(inputs, np.int32)),
        outputs=np.atleast_1d(np.array(outputs, np.int32)),
        **fields,
    )


def add_tensor(graph, **fields):
    """Append a tensor to a graph; return its index."""
    graph.tensors.append(schema.TensorT(**fields))
    return len(graph.tensors) - 1


def add_buffer(model, data):
    """Append a buffer with the bytes of an array; return its index."""
    model.buffers.append(schema.BufferT(data=np.frombuffer(data.tobytes(), np.uint8)))
    return len(model.buffers) - 1


def shape_of(tensor):
    """Return the shape of a tensor as a list, with -1 for a dynamic size."""
    shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    return [] if shape is None else [int(size) for size in shape]


def read_metadata(model, key):
    """Return the bytes of an entry of a file's metadata, or None."""
    for entry in model.metadata or []:
        if entry.name == key:
            return bytes(model.buffers[entry.buffer].data)
    return None


def set_metadata(model, key, data):
    """Add an entry of bytes to a file's metadata, or replace the one with the same key."""
    for entry in model.metadata or []:
        if entry.name == key:
            model.buffers[entry.buffer] = schema.BufferT(data=np.frombuffer(data, np.uint8))
            return
    entry = schema.MetadataT(name=key, buffer=add_buffer(model, np.frombuffer(data, np.uint8)))
    model.metadata = [*(model.metadata or []), entry]


def remove_metadata(model, key):
    """Remove an entry of a file's metadata, if there is one."""
    model.metadata = [entry for entry in model.metadata or [] if entry.name != key]


class _SharingBuilder(flatbuffers.Builder):
    def __init__(self, size):
        super().__init__(size)
        self._written = {}

    def CreateNumpyVector(self, x):
        key = (x.dtype.str, hashlib.sha256(x).digest())
        if key not in self._written:
            write = self._aligned_bytes if x.dtype == np.uint8 else super().CreateNumpyVector
            self._written[key] = write(x)
        return self._written[key]

    def CreateString(self, s, encoding="utf-8", errors="strict"):
        if s not in self._written:
            self._written[s] = super().CreateString(s, encoding, errors)
        return self._written[s]

    def _aligned_bytes(self, x):
        self.StartVector(1, x.size, BUFFER_ALIGNMENT)
        start = self.Head() - x.size
        self.Bytes[start : self.Head()] = x.tobytes()
        self.head = start
        return self.EndVector()
