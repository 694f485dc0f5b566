"""Reading and writing the tables of a TFLite file, with equal vectors and strings stored once."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

BUFFER_ALIGNMENT = 16  # bytes; the schema requires it of weights (force_align)
OP_NAMES = {
    number: name for name, number in vars(schema.BuiltinOperator).items() if name[0].isupper()
}
TYPE_NAMES = {number: name for name, number in vars(schema.TensorType).items() if name.isupper()}


def read(content):
    """Return the tables of a TFLite file's bytes, as a `schema.ModelT`."""
    return schema.ModelT.InitFromPackedBuf(content)


def write(model):
    """Return the bytes of a TFLite file with the tables of a `schema.ModelT`."""
    builder = _SharingBuilder(0)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


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


def called(operator):
    """Return the fields of an operator's options that contain the index of another graph."""
    if operator.builtinOptions is None:
        return []
    return [field for field in vars(operator.builtinOptions) if field.endswith("SubgraphIndex")]


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


class _SharingBuilder(flatbuffers.Builder):
    def __init__(self, size):
        super().__init__(size)
        self._written = {}

    def CreateNumpyVector(self, x):
        key = (x.dtype.str, x.tobytes())
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
