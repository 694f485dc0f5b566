"""Reading a TFLite file's tables, and writing them again without what stands there twice."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

BUFFER_ALIGNMENT = 16  # what the schema asks of weights (force_align)


def graph_of(model, signature):
    """The place of the graph that does a signature's work: where it only calls another, that one."""
    place = next(
        s.subgraphIndex for s in model.signatureDefs if s.signatureKey == signature.encode()
    )
    graph = model.subgraphs[place]
    last = graph.operators[-1]
    is_call = op_name(model, last) == "IF" and {*graph.outputs} <= {*last.outputs}
    return last.builtinOptions.thenSubgraphIndex if is_call else place


def called(operator):
    """The fields of an operator's options that hold the place of another graph."""
    if operator.builtinOptions is None:
        return []
    return [field for field in vars(operator.builtinOptions) if field.endswith("SubgraphIndex")]


def read(content):
    """The tables of a TFLite file's bytes, as a `schema.ModelT`."""
    return schema.ModelT.InitFromPackedBuf(content)


def write(model):
    """The bytes of a TFLite file with these tables, equal vectors and strings stored once."""
    builder = _SharingBuilder(0)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


OP_NAMES = {
    number: name for name, number in vars(schema.BuiltinOperator).items() if name[0].isupper()
}


def op_of(model, operator):
    """An operator's number in the schema."""
    code = model.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def op_name(model, operator):
    """An operator's name, such as "FULLY_CONNECTED"."""
    return OP_NAMES[op_of(model, operator)]


def op_code(model, builtin, version=1):
    """The place of an op's code in the file's table, where it is put if it is not there."""
    for place, code in enumerate(model.operatorCodes):
        if code.builtinCode == builtin and code.version == version:
            return place
    model.operatorCodes.append(
        schema.OperatorCodeT(
            deprecatedBuiltinCode=min(builtin, 127), builtinCode=builtin, version=version
        )
    )
    return len(model.operatorCodes) - 1


def set_metadata(model, key, data):
    """Puts bytes among a file's metadata, in the place of those that had the same key."""
    buffer = schema.BufferT(data=np.frombuffer(data, np.uint8))
    for entry in model.metadata or []:
        if entry.name == key:
            model.buffers[entry.buffer] = buffer
            return
    model.buffers.append(buffer)
    entry = schema.MetadataT(name=key, buffer=len(model.buffers) - 1)
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
