"""Rewrites of a TFLite file that keep its outputs."""

import numpy as np

from .flatbuffer import METADATA, read, remove_metadata, schema, write
from .graphs import arrange, put_main_first, reachable, share_equal_graphs


def single_signature(content: bytes, name: str) -> bytes:
    """Return a file with one signature only: its graph, and the graphs that this one calls.

    Runtimes without support for signatures, such as those of microcontrollers, run the first graph
    of a file. Metadata and the tokenizer in the file, which describe all of its signatures, are
    removed.

    Args:
        content: A file's bytes.
        name: The signature to keep, such as `"encode"`.

    Returns:
        The bytes of the new file. Its first graph is that of the signature.

    Raises:
        ValueError: The file does not have the signature.
    """
    model = read(content)
    places = {s.signatureKey.decode(): s.subgraphIndex for s in model.signatureDefs or []}
    if name not in places:
        raise ValueError(f"`name` must be one of {', '.join(places)}. Received: {name!r}")
    model.signatureDefs = [s for s in model.signatureDefs if s.signatureKey.decode() == name]
    arrange(model, reachable(model, places[name]))
    remove_metadata(model, METADATA)
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


def arranged(content):
    """Return the file with its main signature first, and with equal graphs and vectors stored once.

    The converter orders graphs by name. It repeats the scales and zero points of a per-channel
    weight for every graph that uses it: 12 bytes per row. For a tied embedding in four graphs that
    is 10 % of an int8 file.
    """
    model = read(content)
    share_equal_graphs(model)
    put_main_first(model)
    return write(model)


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
    place = {old: new for new, old in enumerate(used)}
    for holder in holders:
        holder.buffer = place[holder.buffer]
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
