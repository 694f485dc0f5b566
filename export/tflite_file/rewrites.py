"""Rewrites of a TFLite file that keep its outputs."""

import flatbuffers
import numpy as np

from .flatbuffer import called, read, schema, write


def single_signature(content: bytes, name: str) -> bytes:
    """Return a file with one signature only.

    Microcontrollers run the first graph of a file.

    Args:
        content: A file's bytes.
        name: The signature to keep, such as `"encode"`.
    """
    model = read(content)
    model.signatureDefs = [s for s in model.signatureDefs if s.signatureKey == name.encode()]
    (signature,) = model.signatureDefs
    model.subgraphs = [model.subgraphs[signature.subgraphIndex]]
    signature.subgraphIndex = 0
    drop_unused(model)
    return write(model)


def as_select_v2(content):
    """Return the file with SELECT_V2 instead of SELECT, which microcontrollers lack."""
    model = read(content)
    for place, code in enumerate(model.operatorCodes):
        if code.builtinCode == schema.BuiltinOperator.SELECT:
            code.builtinCode = schema.BuiltinOperator.SELECT_V2
            code.deprecatedBuiltinCode, code.version = schema.BuiltinOperator.SELECT_V2, 1
            for graph in model.subgraphs:
                for operator in graph.operators:
                    if operator.opcodeIndex == place:
                        operator.builtinOptionsType = schema.BuiltinOptions.SelectV2Options
                        operator.builtinOptions = schema.SelectV2OptionsT()
    return write(model)


def without_repetition(content):
    """Return the file with equal graphs and vectors stored once.

    The converter repeats the scales and zero points of a per-channel weight for every graph that
    uses it: 12 bytes per row. For a tied embedding in four graphs that is 10 % of an int8 file.
    """
    model = read(content)
    share_equal_graphs(model)
    return write(model)


def share_equal_graphs(model):
    """Merge the graphs of a file's tables that differ in names only.

    The file gets smaller, and a runtime keeps one copy of their weights, packed for its kernels.
    """
    entries = {signature.subgraphIndex for signature in model.signatureDefs}
    data_of = [None if buffer.data is None else bytes(buffer.data) for buffer in model.buffers]
    first = {data: place for place, data in reversed([*enumerate(data_of)])}
    same_buffer = [first[data] for data in data_of]
    while True:
        # Two graphs may become equal when the graphs that they call are merged.
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


def drop_unused(model):
    """Remove the tensors that no op and no signature uses from a file's tables, and their buffers."""
    for graph in model.subgraphs:
        used = set(map(int, [*graph.inputs, *graph.outputs]))
        for operator in graph.operators:
            used |= set(map(int, [*operator.inputs, *operator.outputs]))
        used -= {-1}
        # Blockwise scales are a tensor that no op reads.
        blockwise = [d for t in used if (d := _blockwise(graph.tensors[t])) is not None]
        kept = sorted(used | {details.scales for details in blockwise})
        place = {old: new for new, old in enumerate(kept)} | {-1: -1}
        graph.tensors = [graph.tensors[t] for t in kept]
        for details in blockwise:
            details.scales = place[details.scales]
        for owner in (graph, *graph.operators):
            for side in ("inputs", "outputs"):
                places = [place[int(t)] for t in getattr(owner, side)]
                setattr(owner, side, np.array(places, np.int32))
        for signature in model.signatureDefs or []:
            if model.subgraphs[signature.subgraphIndex] is graph:
                for entry in [*signature.inputs, *signature.outputs]:
                    entry.tensorIndex = place[int(entry.tensorIndex)]
    holders = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    holders += model.metadata or []
    used = sorted({0} | {holder.buffer for holder in holders})  # buffer 0 is the empty one
    for holder in holders:
        holder.buffer = used.index(holder.buffer)
    model.buffers = [model.buffers[b] for b in used]


def _blockwise(tensor):
    """The `BlockwiseQuantizationT` of a tensor, or None."""
    details = getattr(tensor.quantization, "details", None)
    return details if hasattr(details, "scales") else None


def drop_unread(model):
    """Remove what no runtime reads, 1 % of a file: names inside graphs, and empty tables.

    The converter numbers the names of called graphs by all that it has traced in the process. Without
    them, equal models give equal files.
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
