"""The graphs of a TFLite file: which ones an op calls, their order, and equal ones stored once."""

import hashlib

import flatbuffers

# The signature that a runtime without signatures runs: it runs the first graph.
MAIN = ("translate", "generate", "encode")


def called(operator):
    """List the fields that contain the index of another graph, as (options, name) pairs."""
    return [
        (options, name)
        for options in (operator.builtinOptions, operator.builtinOptions2)
        if options is not None
        for name in vars(options)
        if "subgraph" in name.lower()
    ]


def reachable(model, index):
    """List the indices of a graph and of all graphs that it calls, the graph itself first."""
    found = [index]
    for each in found:  # grows by the graphs that are called
        for operator in model.subgraphs[each].operators:
            places = (getattr(options, name) for options, name in called(operator))
            found += [place for place in dict.fromkeys(places) if place not in found]
    return found


def arrange(model, kept, same=None):
    """Keep some graphs of a file's tables, in a new order, and their signatures.

    Args:
        model: `schema.ModelT`; changed in place.
        kept: Indices of the graphs to keep, in their new order.
        same: For each graph, the index of the kept graph that replaces it. Default: itself.
    """
    same = range(len(model.subgraphs)) if same is None else same
    place = {index: number for number, index in enumerate(kept)}
    model.subgraphs = [model.subgraphs[index] for index in kept]
    for operator in (operator for graph in model.subgraphs for operator in graph.operators):
        for options, name in called(operator):
            setattr(options, name, place[same[getattr(options, name)]])
    model.signatureDefs = [s for s in model.signatureDefs or [] if s.subgraphIndex in place]
    for signature in model.signatureDefs:
        signature.subgraphIndex = place[signature.subgraphIndex]


def put_main_first(model):
    """Make the graph of the main signature the first one: see MAIN."""
    graph_of = {s.signatureKey.decode(): s.subgraphIndex for s in model.signatureDefs}
    main = next((graph_of[name] for name in MAIN if name in graph_of), 0)
    arrange(model, sorted(range(len(model.subgraphs)), key=lambda index: index != main))


def share_equal_graphs(model):
    """Merge the graphs of a file's tables that differ in names only.

    The file gets smaller, and a runtime keeps one copy of their weights, packed for its kernels.
    """
    keys = [None if b.data is None else hashlib.sha256(b.data).digest() for b in model.buffers]
    first = {key: place for place, key in reversed([*enumerate(keys)])}
    same_buffer = [first[key] for key in keys]
    while True:
        # Two graphs may become equal when the graphs that they call are merged.
        entries = {signature.subgraphIndex for signature in model.signatureDefs}
        known, same = {}, []
        for index, graph in enumerate(model.subgraphs):
            key = index if index in entries else _without_names(graph, same_buffer)
            same.append(known.setdefault(key, index))
        kept = sorted(set(same))
        if len(kept) == len(same):
            return
        arrange(model, kept, same)


def _without_names(graph, same_buffer):
    """The bytes of a graph without names, with equal buffers numbered equally."""
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
