"""The time of each op of a file.

The Python interface of the runtime has no profiler. Each op is therefore run in files of its own, with
the tensors of its graph: once in one file, five times in another. A quarter of the difference is the
time of the op, with the kernel that a device uses, without the cost of entering a graph. The complete
graph is timed as well. Its time beyond the sum of the ops is overhead, such as shapes that are
computed at every run, and cache misses.
"""

import copy
import time

import numpy as np
from ai_edge_litert.interpreter import OpResolverType

from ..runtime.engine import FileEngine
from ..runtime.interpreter import ModelFile, open_interpreter
from ..tflite_file import flatbuffer
from ..tflite_file.graphs import arrange, reachable
from ..tflite_file.rewrites import drop_unused

STEPS = 16  # tokens that decode_step has read before it is measured
RUNS = 30  # of which the fastest counts
COPIES = 4  # of an op, beyond the first
_SMALL = 1024  # bytes; smaller constants are shapes or axes, larger ones weights


def profile(content, source, ids, steps=STEPS, runs=RUNS):
    """Measure the ops of `encode` and `decode_step` at batch 1 on one thread.

    Args:
        content: bytes of the file.
        source: `(1, source_length)` ids or `(1, source_length, features)`.
        ids: dict of `pad_id`, `start_id`, `end_id` and `padding`, the value that pads sources.
        steps: int, default 16, number of tokens that `decode_step` reads before it is measured.
        runs: int, default 30, number of runs of each file.

    Returns:
        dict of signature to `whole`, the seconds of its graph, and `ops`, a list of `[op, seconds]`
        in the order of the graph. A loop is one op.
    """
    file = ModelFile(
        content,
        # Without XNNPACK, so that every tensor can be read.
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    engine = FileEngine(file, ids)
    state, token = engine.encode(source), np.array([ids["start_id"]], np.int32)
    for _ in range(steps):
        state = engine.decode_step(token, **state)
        token = state.pop("logits").argmax(-1).astype(np.int32)
        state.pop("attention", None)
    model = flatbuffer.read(content)
    # The last run of decode_step had read steps - 1 tokens.
    return {
        name: _profile_graph(model, flatbuffer.graph_of(model, name), file.interpreter, runs)
        for name in ("encode", "decode_step")
    }


def _profile_graph(model, place, interpreter, runs):
    graph = model.subgraphs[place]
    used = {i for o in graph.operators for i in [*o.inputs, *o.outputs] if i >= 0}
    values = {
        index: interpreter.get_tensor(int(index), place)
        for index in sorted(used | set(graph.inputs))
        if not _is_constant(model, graph, index)
    }
    whole = _run(_alone(model, graph), [values[index] for index in graph.inputs], runs)
    widened = {
        operator.outputs[0]: operator
        for operator in graph.operators
        if flatbuffer.op_name(model, operator) == "DEQUANTIZE"
        and _is_constant(model, graph, operator.inputs[0])
    }
    ops, known = [], {}
    for operator in graph.operators:
        if operator.outputs[0] in widened:
            # The runtime widens a constant once, when it opens the file.
            ops.append((flatbuffer.op_name(model, operator), 0.0))
            continue
        key = _key(model, graph, operator, values)
        if key not in known:
            known[key] = _time_op(model, graph, operator, values, widened, runs)
        ops.append((flatbuffer.op_name(model, operator), known[key]))
    return {"whole": whole, "ops": ops}


def _is_constant(model, graph, index):
    return model.buffers[graph.tensors[index].buffer].data is not None


def _key(model, graph, operator, values):
    """A key that is equal for ops that take the same time."""

    def of(index):
        if index < 0:
            return None
        if index in values:
            return values[index].shape, values[index].dtype.str
        data = bytes(model.buffers[graph.tensors[index].buffer].data)
        return data if len(data) < _SMALL else (len(data), tuple(graph.tensors[index].shape))

    options = operator.builtinOptions and str(vars(operator.builtinOptions))
    tensors = tuple(of(index) for index in [*operator.inputs, *operator.outputs])
    return operator.opcodeIndex, options, tensors


def _time_op(model, graph, operator, values, widened, runs):
    """Seconds of one op, from the difference of two files with different numbers of copies."""
    inputs = [i for i in dict.fromkeys(operator.inputs) if i in values and i not in widened]
    first = [widened[index] for index in operator.inputs if index in widened]
    seconds = []
    for copies in (1, 1 + COPIES):
        part = copy.copy(graph)
        part.tensors = [_sized(tensor, values.get(i)) for i, tensor in enumerate(graph.tensors)]
        part.operators, part.outputs = list(first), []
        for _ in range(copies):
            repeated = copy.copy(operator)
            repeated.outputs = np.arange(len(operator.outputs), dtype=np.int32) + len(part.tensors)
            part.tensors += [part.tensors[index] for index in operator.outputs]
            part.operators.append(repeated)
            part.outputs += repeated.outputs.tolist()
        part.inputs = np.array(inputs, np.int32)
        part.outputs = np.array(part.outputs, np.int32)
        seconds.append(_run(_alone(model, part), [values[index] for index in inputs], runs))
    return max(0.0, (seconds[1] - seconds[0]) / COPIES)


def _sized(tensor, value):
    """A copy of a tensor with its shape at run time."""
    if value is None:
        return tensor
    tensor = copy.copy(tensor)
    tensor.shape, tensor.shapeSignature = np.array(value.shape, np.int32), None
    return tensor


def _alone(model, graph):
    """The bytes of a file with one graph, the graphs that it calls, and their constants."""
    part = copy.copy(model)
    part.subgraphs, part.signatureDefs, part.metadata = [*model.subgraphs, graph], None, None
    kept = reachable(part, len(model.subgraphs))
    for place in kept:
        current = part.subgraphs[place] = copy.copy(part.subgraphs[place])
        current.tensors = [_copied(tensor) for tensor in current.tensors]
        # One by one: copies of an op share its options, which are changed below.
        current.operators = [copy.deepcopy(operator) for operator in current.operators]
    arrange(part, kept)
    drop_unused(part)
    return flatbuffer.write(part)


def _copied(tensor):
    tensor = copy.copy(tensor)
    if getattr(tensor.quantization, "details", None) is not None:  # refers to another tensor
        tensor.quantization = copy.deepcopy(tensor.quantization)
    return tensor


def _run(content, inputs, runs):
    """Seconds of the fastest run of a file."""
    interpreter = open_interpreter(content, 1, "")
    places = [detail["index"] for detail in interpreter.get_input_details()]
    for place, value in zip(places, inputs, strict=True):
        interpreter.resize_tensor_input(place, value.shape)
    interpreter.allocate_tensors()
    for place, value in zip(places, inputs, strict=True):
        interpreter.set_tensor(place, value)
    fastest = np.inf
    for _ in range(runs + 1):
        start = time.perf_counter()
        interpreter.invoke()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest
