"""Reading a TFLite file's tables, and writing them again without what stands there twice."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

BUFFER_ALIGNMENT = 16  # what the schema asks of weights (force_align)


def without_repetition(content):
    """The same TFLite file, with each of its graphs and vectors stored once.

    The converter writes the scales and zero points of a per-channel weight anew for every graph
    that uses it: 12 bytes a row, for a tied embedding in four graphs a tenth of an int8 file.
    """
    model = read(content)
    share_equal_graphs(model)
    return write(model)


def share_equal_graphs(model):
    """Stores once those of a file's graphs that are alike but for their names.

    So the file is smaller, and a runtime keeps one copy of their weights, packed for its kernels.
    """
    entries = {signature.subgraphIndex for signature in model.signatureDefs}
    data_of = [None if buffer.data is None else bytes(buffer.data) for buffer in model.buffers]
    first = {data: place for place, data in reversed([*enumerate(data_of)])}
    same_buffer = [first[data] for data in data_of]
    while True:
        # Graphs that call others are alike once those are one: hence the loop.
        known, places = {}, []
        for place, graph in enumerate(model.subgraphs):
            key = place if place in entries else _without_names(graph, same_buffer)
            places.append(known.setdefault(key, place))
        kept = sorted(set(places))
        if len(kept) == len(places):
            return
        for operator in (o for place in kept for o in model.subgraphs[place].operators):
            for field in called(operator):
                place = places[getattr(operator.builtinOptions, field)]
                setattr(operator.builtinOptions, field, kept.index(place))
        for signature in model.signatureDefs:
            signature.subgraphIndex = kept.index(signature.subgraphIndex)
        entries = {signature.subgraphIndex for signature in model.signatureDefs}
        model.subgraphs = [model.subgraphs[place] for place in kept]


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


def _without_names(graph, same_buffer):
    names = [tensor.name for tensor in graph.tensors]
    buffers = [tensor.buffer for tensor in graph.tensors]
    own_name, graph.name = graph.name, b""
    for tensor in graph.tensors:
        tensor.name, tensor.buffer = b"", same_buffer[tensor.buffer]
    builder = flatbuffers.Builder(0)
    builder.Finish(graph.Pack(builder))
    graph.name = own_name
    for tensor, name, buffer in zip(graph.tensors, names, buffers, strict=True):
        tensor.name, tensor.buffer = name, buffer
    return bytes(builder.Output())


def read(content):
    """The tables of a TFLite file's bytes, as a `schema.ModelT`."""
    return schema.ModelT.InitFromPackedBuf(content)


def write(model):
    """The bytes of a TFLite file with these tables, equal vectors and strings stored once."""
    builder = _SharingBuilder(0)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def drop_unused(model):
    """Takes tensors that no op and no signature uses out of a file's tables, and unused buffers."""
    for graph in model.subgraphs:
        used = {int(t) for t in [*graph.inputs, *graph.outputs]}
        for operator in graph.operators:
            used |= {int(t) for t in [*operator.inputs, *operator.outputs]}
        place = {old: new for new, old in enumerate(sorted(used - {-1}))} | {-1: -1}
        graph.tensors = [graph.tensors[t] for t in sorted(used - {-1})]
        for owner in (graph, *graph.operators):
            for side in ("inputs", "outputs"):
                places = [place[int(t)] for t in getattr(owner, side)]
                setattr(owner, side, np.array(places, np.int32))
        for signature in model.signatureDefs:
            if model.subgraphs[signature.subgraphIndex] is graph:
                for entry in [*signature.inputs, *signature.outputs]:
                    entry.tensorIndex = place[int(entry.tensorIndex)]
    holders = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    holders += model.metadata or []
    used = sorted({0} | {holder.buffer for holder in holders})  # buffer 0 is the empty one
    for holder in holders:
        holder.buffer = used.index(holder.buffer)
    model.buffers = [model.buffers[b] for b in used]


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


def drop_unread(model):
    """Takes away what no runtime reads, 1 % of a file: names inside of graphs, tables that say nothing.

    The names of graphs that others call count what else was traced before: without them equal models
    are equal files.
    """
    entries = {signature.subgraphIndex for signature in model.signatureDefs}
    for place, graph in enumerate(model.subgraphs):
        named = {*graph.inputs, *graph.outputs} if place in entries else set()
        graph.name = graph.name if place in entries else b""
        for index, tensor in enumerate(graph.tensors):
            if index not in named and model.buffers[tensor.buffer].data is None:
                tensor.name = b""
            quantization = tensor.quantization
            if quantization and quantization.scale is None and quantization.details is None:
                tensor.quantization = None


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
