"""Scales of the tensors of a static file, and the groups of tensors that share one."""

from collections import defaultdict

import numpy as np

from ..tflite_file import flatbuffer
from ..tflite_file.flatbuffer import schema

_OP, _TYPE = schema.BuiltinOperator, schema.TensorType


# Ops that copy values, with the inputs that contain them (None: all).
_MOVES = {
    _OP.RESHAPE: (0,),
    _OP.TRANSPOSE: (0,),
    _OP.STRIDED_SLICE: (0,),
    _OP.SLICE: (0,),
    _OP.GATHER: (0,),
    _OP.SPLIT: (1,),
    _OP.SPLIT_V: (0,),
    _OP.CONCATENATION: None,
    _OP.REDUCE_MAX: (0,),
    _OP.EXPAND_DIMS: (0,),
    _OP.SELECT_V2: (1, 2),
}


# exp(-12) is 6e-6: scores so far below the largest of their row do not affect a softmax.
SOFTMAX_DEPTH = 12.0


class Plan:
    """Scales of all float tensors; the tensors of a group share one."""

    def __init__(self, model, observed, bits, clip):
        self.model, self.observed, self.bits, self.clip = model, observed, bits, clip
        self.parent = {}
        for g, graph in enumerate(model.subgraphs):
            for operator in graph.operators:
                moved = moved_inputs(model, graph, operator)
                for t in moved:
                    self._unite((g, t), (g, int(operator.outputs[0])))
                if moved:
                    for t in operator.outputs[1:]:
                        self._unite((g, int(t)), (g, int(operator.outputs[0])))
        self._unite_states()
        self.members = defaultdict(list)
        for key in list(self.parent):
            self.members[self.root(key)].append(key)
        # With clipping, the scores of a softmax would reach down to its masks.
        self.unclipped = {self.root(key) for key in softmax_inputs(model)}
        self.scales = {}

    def root(self, key):
        self.parent.setdefault(key, key)
        while self.parent[key] != key:
            key = self.parent[key]
        return key

    def is_alone(self, key):
        return len(self.members[self.root(key)]) <= 1

    def scale(self, key):
        """Return scale and zero point of a tensor's group."""
        root = self.root(key)
        if root not in self.scales:
            members = self.members[root] or [key]
            values = [v for v in map(self._values, members) if v is not None]
            self.scales[root] = fitted_scale(
                min(v[0] for v in values),
                max(v[1] for v in values),
                np.concatenate([v[:2] for v in values] + [v[2:] for v in values]),
                self.bits,
                self.clip and root not in self.unclipped,
            )
        return self.scales[root]

    def _values(self, key):
        graph, t = key
        constant = read_constant(self.model, self.model.subgraphs[graph].tensors[t])
        if constant is not None:
            return np.concatenate([[constant.min(), constant.max()], constant.ravel()[:4096]])
        return self.observed.get(f"{graph}/{t}")

    def _unite(self, a, b):
        self.parent[self.root(a)] = self.root(b)

    def _unite_states(self):
        places = defaultdict(list)
        for signature in self.model.signatureDefs:
            for entry in [*signature.inputs, *signature.outputs]:
                key = signature.subgraphIndex, int(entry.tensorIndex)
                if self.model.subgraphs[key[0]].tensors[key[1]].type == _TYPE.FLOAT32:
                    places[entry.name].append(key)
        for keys in places.values():
            for key in keys[1:]:
                self._unite(keys[0], key)


def fitted_scale(minimum, maximum, values, bits, clip):
    """Return scale and zero point for values in [minimum, maximum]; 16 bits are symmetric."""
    minimum, maximum = min(float(minimum), 0.0), max(float(maximum), 0.0)
    if maximum - minimum < 1e-9:
        maximum = 1e-6
    if bits == 16:
        return max(-minimum, maximum) / 32767, 0
    parts = np.linspace(0.3, 1, 15) if clip else [1.0]
    found = []
    for part in parts:
        low, high = minimum * part, maximum * part
        scale = (high - low) / 255
        zero = int(np.clip(np.rint(-128 - low / scale), -128, 127))
        error = 0
        if clip:
            rounded = (np.clip(np.rint(values / scale) + zero, -128, 127) - zero) * scale
            error = float(np.square(rounded - values, dtype=np.float64).mean())
        found.append((error, scale, zero))
    return min(found)[1:]


def moved_inputs(model, graph, operator):
    """Return the inputs whose values an op copies; an empty list for an op that computes."""
    code = flatbuffer.op_of(model, operator)
    if code not in _MOVES or is_lookup(model, graph, operator):
        return []
    places = _MOVES[code] or range(len(operator.inputs))
    return [int(operator.inputs[place]) for place in places]


def softmax_inputs(model):
    """Return the inputs of all softmax ops, as a set of (graph, tensor)."""
    return {
        (g, int(operator.inputs[0]))
        for g, graph in enumerate(model.subgraphs)
        for operator in graph.operators
        if flatbuffer.op_of(model, operator) == _OP.SOFTMAX
    }


def is_lookup(model, graph, operator):
    """Return whether an op gathers rows of a constant table."""
    return (
        flatbuffer.op_of(model, operator) == _OP.GATHER
        and read_constant(model, graph.tensors[operator.inputs[0]]) is not None
    )


def read_constant(model, tensor):
    """Return the values of a float32 constant, or None for a computed tensor."""
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) == 0 or tensor.type != _TYPE.FLOAT32:
        return None
    shape = [] if tensor.shape is None else tensor.shape
    return np.frombuffer(bytes(data), np.float32).reshape(shape)
