"""Subprocess: what a float32 file's weights are multiplied with, on real text.

`python -m seq2lite.export.calibration FILE IN.npz OUT.npz`. It runs `encode` and `decode_step` with all
tensors kept, and sums up x xᵀ over the activations x that enter each product.
"""

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from . import flatbuffer
from .isolation import explained
from .quantize import weights_of
from .runtime import BundleError

BATCH = 16


def second_moments(content, source, lengths, teacher, target_lengths):
    """The mean of x xᵀ for each weight that is multiplied with activations x.

    Args:
        content: The float32 file's bytes.
        source: int32 ids `(n, source_length)`.
        lengths: Tokens in each row of `source`.
        teacher: int32 ids `(n, target_length)`: what `decode_step` reads, the start first.
        target_lengths: Tokens in each row of `teacher`.

    Returns:
        By buffer of the weight, float32 `(inputs, inputs)`.
    """
    model = flatbuffer.read(content)
    # Only without the default delegate are all tensors there to be read.
    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    sums = _Sums(model, interpreter)
    encode = interpreter.get_signature_runner("encode")
    decode_step = interpreter.get_signature_runner("decode_step")
    for start in range(0, len(source), BATCH):
        rows = slice(start, start + BATCH)
        state = encode(source=source[rows, : lengths[rows].max()])
        sums.add("encode", np.arange(lengths[rows].max()) < lengths[rows, None])
        for step in range(target_lengths[rows].max()):
            state = decode_step(token=teacher[rows, step], **state)
            state.pop("logits")
            sums.add("decode_step", step < target_lengths[rows])
    return sums.means()


class _Sums:
    """Sums of x xᵀ by weight, and how many x there were."""

    def __init__(self, model, interpreter):
        self.interpreter = interpreter
        self.products = {
            signature.signatureKey.decode(): list(_products(model, signature.subgraphIndex))
            for signature in model.signatureDefs
        }
        self.total, self.count = {}, {}

    def add(self, signature, is_token):
        """Adds what has just run; of activations of padding, nothing."""
        is_token = is_token.ravel()
        for graph, tensor, buffer in self.products[signature]:
            x = self.interpreter.get_tensor(tensor, graph).astype(np.float32)
            x = x.reshape(-1, x.shape[-1])
            if len(x) == len(is_token):
                x = x[is_token]
            self.total[buffer] = self.total.get(buffer, 0) + x.T @ x
            self.count[buffer] = self.count.get(buffer, 0) + len(x)

    def means(self):
        return {
            buffer: total / max(1, self.count[buffer])
            for buffer, total in self.total.items()
            if np.isfinite(total).all() and total.any()
        }


def _products(model, index):
    """Graph, tensor and weight of each product in a graph and in the bodies of its loops.

    Of a loop the last turn's activations are there when it has ended.
    """
    buffers = {weight.buffer for weight in weights_of(model)}
    graph = model.subgraphs[index]
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        if code == flatbuffer.schema.BuiltinOperator.WHILE:
            yield from _products(model, operator.builtinOptions.bodySubgraphIndex)
        if code == flatbuffer.schema.BuiltinOperator.FULLY_CONNECTED:
            buffer = graph.tensors[operator.inputs[1]].buffer
            if buffer in buffers:
                yield index, operator.inputs[0], buffer


if __name__ == "__main__":
    file, inputs, output = sys.argv[1:]
    with explained(BundleError, OSError):
        moments = second_moments(Path(file).read_bytes(), **np.load(inputs))
        np.savez(output, **{str(buffer): moment for buffer, moment in moments.items()})
