"""The signatures of a TFLite file, as bundle.json describes them."""

from . import flatbuffer


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
            side: _tensors(model.subgraphs[signature.subgraphIndex], getattr(signature, side))
            for side in ("inputs", "outputs")
        }
        for signature in model.signatureDefs
    }


def _tensors(graph, entries):
    found = {}
    for entry in entries:
        tensor = graph.tensors[entry.tensorIndex]
        dtype = flatbuffer.TYPE_NAMES[tensor.type].lower()
        found[entry.name.decode()] = {"dtype": dtype, "shape": flatbuffer.shape_of(tensor)}
    return found
