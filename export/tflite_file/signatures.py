"""The signatures of a TFLite file, as bundle.json describes them."""

from . import flatbuffer
from .flatbuffer import schema


def describe_signatures(content):
    """Describe the inputs and outputs of every signature.

    Args:
        content: bytes of the file.

    Returns:
        dict of signature name to `inputs` and `outputs`: dicts of tensor name to `dtype` and
        `shape`, in which -1 stands for a dynamic size.
    """
    model = flatbuffer.read(content)
    return {
        signature.signatureKey.decode(): {
            "inputs": _tensors(model, signature, signature.inputs),
            "outputs": _tensors(model, signature, signature.outputs),
        }
        for signature in model.signatureDefs
    }


def _tensors(model, signature, entries):
    types = {number: name for name, number in vars(schema.TensorType).items() if name.isupper()}
    graph, found = model.subgraphs[signature.subgraphIndex], {}
    for entry in entries:
        tensor = graph.tensors[entry.tensorIndex]
        shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
        shape = [] if shape is None else [int(size) for size in shape]
        found[entry.name.decode()] = {"dtype": types[tensor.type].lower(), "shape": shape}
    return found
