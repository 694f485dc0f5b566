"""Second moments of the inputs of each product, for GPTQ.

`encode` and `decode_step` of a float32 file run with all tensors preserved.
"""

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from ..tflite_file import flatbuffer
from .weights import weights_of

NUM_CUTS = 8  # lengths at which sources are cut, to observe the state of a loop before its end


def second_moments(content, calibration):
    """Return the mean of x xᵀ for each weight that is multiplied by activations x.

    Args:
        content: The float32 file's bytes.
        calibration: A `Calibration`.

    Returns:
        dict from the buffer of the weight to float32 `(inputs, inputs)`.
    """
    model = flatbuffer.read(content)
    # The default delegate would not preserve all tensors.
    interpreter = Interpreter(
        model_content=content,
        num_threads=2,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    encode, decode_step = (
        _Products(model, interpreter, signature) for signature in ("encode", "decode_step")
    )
    for batch in calibration.batches():
        length = batch.source.shape[1]
        if encode.has_loops:
            for cut in np.unique(np.linspace(1, length - 1, NUM_CUTS).astype(int)):
                encode.run(source=batch.source[:, :cut])
                encode.add_of_loops(batch.lengths > cut)
        state = encode.run(source=batch.source)
        encode.add(np.arange(length) < batch.lengths[:, None])
        for step, token in enumerate(batch.teacher.T):
            state = decode_step.run(token=token, **state)
            state.pop("logits")
            state.pop("attention", None)
            decode_step.add(step < batch.target_lengths)
    return _means([encode, decode_step])


class _Products:
    """Sums of x xᵀ by weight, and the number of x, in one signature."""

    def __init__(self, model, interpreter, signature):
        self.interpreter = interpreter
        self.run = interpreter.get_signature_runner(signature)
        self.graph = graph = flatbuffer.graph_of(model, signature)
        self.products = list(_products(model, graph))
        self.of_loops = list(_products_of_loops(model, graph))
        self.has_loops = bool(self.of_loops)
        self.total, self.count = {}, {}

    def add(self, is_token):
        """Add the products of the last run, without padding."""
        self._add(self.products, is_token)

    def add_of_loops(self, is_token):
        """Add the products that loops would compute next."""
        self._add(self.of_loops, is_token)

    def _add(self, products, is_token):
        is_token = is_token.ravel()
        for tensor, buffer in products:
            x = self.interpreter.get_tensor(tensor, self.graph).astype(np.float32)
            x = x.reshape(-1, x.shape[-1])
            if len(x) == len(is_token):
                x = x[is_token]
            self.total[buffer] = self.total.get(buffer, 0) + x.T @ x
            self.count[buffer] = self.count.get(buffer, 0) + len(x)


def _means(parts):
    """Average over all signatures, without moments that are not finite or all zero."""
    total, count = {}, {}
    for part in parts:
        for buffer in part.total:
            total[buffer] = total.get(buffer, 0) + part.total[buffer]
            count[buffer] = count.get(buffer, 0) + part.count[buffer]
    return {
        buffer: (moment / max(1, count[buffer])).astype(np.float32)
        for buffer, moment in total.items()
        if np.isfinite(moment).all() and moment.any()
    }


def _products(model, index):
    """Yield the tensor of activations and the buffer of the weight of each product of a graph."""
    buffers = {weight.buffer for weight in weights_of(model)}
    graph = model.subgraphs[index]
    for operator in graph.operators:
        if flatbuffer.op_name(model, operator) == "FULLY_CONNECTED":
            buffer = graph.tensors[operator.inputs[1]].buffer
            if buffer in buffers:
                yield operator.inputs[0], buffer


def _products_of_loops(model, index):
    """Yield the same for products with the state of a loop, as it is after the loop.

    The tensors of a loop's body are not preserved after its run.
    """
    for operator in model.subgraphs[index].operators:
        if flatbuffer.op_name(model, operator) == "WHILE":
            body = operator.builtinOptions.bodySubgraphIndex
            carried = dict(zip(model.subgraphs[body].inputs, operator.outputs, strict=True))
            for tensor, buffer in _products(model, body):
                if tensor in carried:
                    yield carried[tensor], buffer
