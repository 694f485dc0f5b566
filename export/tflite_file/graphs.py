"""The graphs of a TFLite file: which ones an op calls, their order, and equal ones stored once."""

import copy
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
    """Merge the graphs of a file's tables that differ in names and in the order of ops only.

    The file gets smaller, and a runtime keeps one copy of their weights, packed for its kernels.
    """
    data = [b"" if buffer.data is None else _digest(buffer.data) for buffer in model.buffers]
    while True:
        # Two graphs may become equal when the graphs that they call are merged.
        entries = {signature.subgraphIndex for signature in model.signatureDefs}
        known, same = {}, []
        for index, graph in enumerate(model.subgraphs):
            key = index if index in entries else _digest_of_graph(graph, data)
            same.append(known.setdefault(key, index))
        kept = sorted(set(same))
        if len(kept) == len(same):
            return
        arrange(model, kept, same)


def _digest_of_graph(graph, data):
    """A digest of the outputs of a graph as a function of its inputs.

    Args:
        graph: `schema.SubGraphT`.
        data: The digest of the data of each buffer.
    """
    known = {}

    def of(index):
        if index not in known:  # a constant, or no tensor
            known[index] = b"" if index < 0 else of_tensor(index, data[graph.tensors[index].buffer])
        return known[index]

    def of_tensor(index, *parts):
        tensor = copy.copy(graph.tensors[index])
        tensor.name, tensor.buffer = b"", 0
        scales = getattr(getattr(tensor.quantization, "details", None), "scales", -1)
        return _digest(_packed(tensor), of(scales), *parts)

    for number, index in enumerate(graph.inputs):
        known[index] = of_tensor(index, b"input %d" % number)
    for operator in graph.operators:
        kind = copy.copy(operator)
        kind.inputs = kind.outputs = None
        parts = _packed(kind), *map(of, operator.inputs)
        for number, index in enumerate(operator.outputs):
            known[index] = of_tensor(index, b"output %d" % number, *parts)
    return _digest(*map(of, graph.inputs), b"to", *map(of, graph.outputs))


def _packed(table):
    builder = flatbuffers.Builder(256)
    builder.Finish(table.Pack(builder))
    return bytes(builder.Output())


def _digest(*parts):
    """A digest of bytes, of one part or of the digests of several."""
    if len(parts) == 1:
        return hashlib.sha256(parts[0]).digest()
    return _digest(b"".join(map(_digest, parts)))
