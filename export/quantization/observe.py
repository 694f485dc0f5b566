"""Observation of the values that each tensor of a static float32 file takes on real sources.

The sources are decoded by greedy search, so that the states are those of real decoding.
"""

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from ..runtime.host_search import HostSearch
from ..runtime.static_file import zero_state
from ..tflite_file import flatbuffer
from ..tflite_file.flatbuffer import schema
from .scales import SOFTMAX_DEPTH, softmax_inputs

SAMPLES = 32  # values of a tensor that are kept, each time it is computed


def observe(content, calibration):
    """Observe minimum, maximum and a sample of the values of each float tensor.

    Scores of a softmax are clipped where they no longer affect its output. Masks therefore do not
    widen their range.

    Args:
        content: The file's bytes; its signatures have a batch size of 1.
        calibration: `StaticCalibration`.

    Returns:
        dict from "graph/tensor" to float32 `(2 + samples,)`, minimum and maximum first.
    """
    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    model = flatbuffer.read(content)
    values = []

    def observed(name):
        runner = interpreter.get_signature_runner(name)
        values.append(_Values(interpreter, model, flatbuffer.graph_of(model, name)))

        def run(of=values[-1], **inputs):
            outputs = runner(**inputs)
            of.add()
            return outputs

        return run

    zeros = zero_state(interpreter.get_signature_runner("decode_step").get_input_details())
    encode, decode_step = observed("encode"), observed("decode_step")
    search = HostSearch(
        lambda source: {**zeros, **encode(source=source)}, decode_step, **calibration.ids
    )
    for row in calibration.source:
        search.greedy(row[None], calibration.max_length)
    return {name: value for of in values for name, value in of.results()}


class _Values:
    """Observed values of the tensors that are inputs of a graph or computed by it."""

    def __init__(self, interpreter, model, index):
        self.interpreter, self.index = interpreter, index
        graph = model.subgraphs[index]
        computed = {int(t) for operator in graph.operators for t in operator.outputs}
        self.tensors = [
            t
            for t in sorted(computed | {int(t) for t in graph.inputs})
            if graph.tensors[t].type == schema.TensorType.FLOAT32
        ]
        self.scores = {t for g, t in softmax_inputs(model) if g == index}
        self.range = {t: [np.inf, -np.inf] for t in self.tensors}
        self.samples = {t: [] for t in self.tensors}
        self.rng = np.random.default_rng(0)

    def add(self):
        for t in self.tensors:
            x = self.interpreter.get_tensor(t, self.index)
            if t in self.scores:
                x = np.maximum(x, x.max(axis=-1, keepdims=True) - SOFTMAX_DEPTH)
            x = x.ravel()
            low, high = self.range[t]
            self.range[t] = [min(low, x.min()), max(high, x.max())]
            self.samples[t].append(x[self.rng.integers(0, len(x), SAMPLES)])

    def results(self):
        for t in self.tensors:
            if self.samples[t]:
                parts = [np.array(self.range[t]), *self.samples[t]]
                yield f"{self.index}/{t}", np.concatenate(parts).astype(np.float32)
