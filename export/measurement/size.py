"""The size of a TFLite file by purpose."""

import io
import zipfile

from ..tflite_file import flatbuffer
from ..tflite_file.graphs import reachable

PARTS = ("embedding", "output projection", "encoder", "decoder", "tokenizer", "search", "graphs")


_LOOKUPS = {"EMBEDDING_LOOKUP", "GATHER"}


_SMALL = 1024  # bytes; smaller constants are shapes, axes or ids


def size_by_part(content):
    """Compute the size of a file by purpose. Weights include their scales.

    | part | contents |
    |---|---|
    | embedding | embedding tables, including the output projection if it is tied |
    | output projection | weights that the logits are a product with, if they are not tied |
    | encoder, decoder | other weights, by the signature (`encode`, `decode_step`) that reads them |
    | tokenizer | the tokenizer file inside, and tables that only text signatures read |
    | search | constants that only signatures such as `generate` read |
    | graphs | the rest: ops, names, small constants, metadata |

    Args:
        content: bytes of the file.

    Returns:
        dict of part to bytes, in the order of `PARTS`. The sum is the size of the file.

    Example:
        >>> from seq2lite.export.measurement.size import size_by_part
        >>> content = (bundle / "model.tflite").read_bytes()
        >>> sum(size_by_part(content).values()) == len(content)
        True
    """
    model = flatbuffer.read(content)
    readers, tensors = _readers(model)
    looked_up = _looked_up(model)
    projection = _projection(model)
    sizes, written = dict.fromkeys(PARTS, 0), set()
    for buffer, names in readers.items():
        part = _part(buffer, names, looked_up, projection)
        data = bytes(model.buffers[buffer].data)
        if len(data) < _SMALL or data in written:
            continue
        written.add(data)  # equal buffers are stored once
        sizes[part] += len(data)
        for graph, tensor in tensors[buffer]:
            for vector in _scales(model, graph, tensor):
                if vector not in written:
                    written.add(vector)
                    sizes[part] += len(vector)
    sizes["tokenizer"] += sum(_files_inside(content).values())
    sizes["graphs"] = len(content) - sum(sizes.values())
    return sizes


def _readers(model):
    """Map each buffer to the signatures that read it, and to its (graph, tensor) pairs."""
    readers, tensors = {}, {}
    for signature in model.signatureDefs:
        for place in reachable(model, signature.subgraphIndex):
            graph = model.subgraphs[place]
            for index in (index for operator in graph.operators for index in operator.inputs):
                tensor = graph.tensors[index] if index >= 0 else None
                if tensor is None or model.buffers[tensor.buffer].data is None:
                    continue
                readers.setdefault(tensor.buffer, set()).add(signature.signatureKey.decode())
                tensors.setdefault(tensor.buffer, []).append((graph, tensor))
    return readers, tensors


def _part(buffer, names, looked_up, projection):
    # Tokenizer tables are looked up like embeddings, but `encode` and `decode_step` do not read them.
    if not names & {"encode", "decode_step"}:
        return "search" if any(name.startswith("generate") for name in names) else "tokenizer"
    if buffer in looked_up:
        return "embedding"
    if buffer == projection:
        return "output projection"
    return "encoder" if "encode" in names else "decoder"


def _looked_up(model):
    """Find the buffers of tables that are looked up, also through a DEQUANTIZE."""
    found = set()
    for graph in model.subgraphs:
        made_by = {index: o for o in graph.operators for index in o.outputs}
        for operator in graph.operators:
            name = flatbuffer.op_name(model, operator)
            if name in _LOOKUPS:
                found.add(_source(graph, operator.inputs[int(name == "EMBEDDING_LOOKUP")], made_by))
    return found - {0}


def _source(graph, index, made_by):
    """The buffer of a tensor, or of the input of the DEQUANTIZE that computes it."""
    operator = made_by.get(index)
    if operator is not None and len(operator.inputs) == 1:
        index = operator.inputs[0]
    return graph.tensors[index].buffer


def _projection(model):
    """The buffer of weights that the logits of `decode_step` are a product with, or None."""
    signature = next((s for s in model.signatureDefs if s.signatureKey == b"decode_step"), None)
    if signature is None:
        return None
    graph = model.subgraphs[signature.subgraphIndex]
    made_by = {index: o for o in graph.operators for index in o.outputs}
    index = next(e.tensorIndex for e in signature.outputs if e.name == b"logits")
    while index in made_by:
        operator = made_by[index]
        if flatbuffer.op_name(model, operator) == "FULLY_CONNECTED":
            return _source(graph, operator.inputs[1], made_by)
        index = operator.inputs[0]
    return None


def _scales(model, graph, tensor):
    """The bytes of the scales and zero points of a weight, one vector each."""
    quantization = tensor.quantization
    if quantization is None:
        return
    for vector in (quantization.scale, quantization.zeroPoint):
        if vector is not None and len(vector) > 1:
            yield vector.tobytes()
    place = getattr(quantization.details, "scales", None)
    if place is not None:
        yield model.buffers[graph.tensors[place].buffer].data.tobytes()


def _files_inside(content):
    """The bytes of each file in the zip at the end of a TFLite file, except descriptions."""
    file = io.BytesIO(content)
    if not zipfile.is_zipfile(file):
        return {}
    with zipfile.ZipFile(file) as archive:
        return {
            info.filename: info.compress_size
            for info in archive.infolist()
            if not info.filename.endswith(".json")
        }
