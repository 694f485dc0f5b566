"""Static quantization: a static float32 file with all tensors stored as integers.

Weights of products get 8 bits and one scale per row. Every other tensor gets one scale, from its
observed values. The inputs and outputs of ops that copy values share a scale; so does the state
between two calls, which passes from step to step unchanged.
"""

import copy

import numpy as np

from ..tflite_file import flatbuffer, rewrites
from ..tflite_file.flatbuffer import schema
from ..tflite_file.versions import raise_integer_versions, set_min_runtime
from .masks import fit_masks
from .scales import Plan, fitted_scale, is_lookup, moved_inputs, read_constant

_OP, _TYPE = schema.BuiltinOperator, schema.TensorType


# Outputs whose parameters the kernels fix: 8-bit scale, 8-bit zero point, 16-bit scale.
_FIXED = {
    _OP.SOFTMAX: (1 / 256, -128, 1 / 32768),
    _OP.LOGISTIC: (1 / 256, -128, 1 / 32768),
    _OP.TANH: (1 / 128, 0, 1 / 32768),
}

_KINDS = {8: (_TYPE.INT8, np.int8), 16: (_TYPE.INT16, np.int16)}


def quantize_static(content, observed, *, bits=8, integer_io=False, clip=True):
    """Quantize weights and activations of a static float32 file.

    Args:
        content: The file's bytes.
        observed: Result of `observe.observe` for the file.
        bits: Bits of the activations, 8 or 16.
        integer_io: Whether inputs and outputs of signatures are integers, with the scales in the
            file. Otherwise they are float32.
        clip: Whether 8-bit scales minimize the squared error of the sampled values, which clips rare
            large ones. Otherwise they cover minimum and maximum.

    Returns:
        The bytes of the new file.

    Raises:
        ConversionError: An op has no integer kernel.
    """
    model = flatbuffer.read(content)
    plan = Plan(model, fit_masks(model, observed), bits, clip)
    for index in range(len(model.subgraphs)):
        _GraphWriter(model, index, plan).write(integer_io)
    raise_integer_versions(model)
    set_min_runtime(model)
    rewrites.drop_unused(model)
    return flatbuffer.write(model)


class _GraphWriter:
    """Rewriter of one graph: the types of its tensors, and QUANTIZE ops between different scales."""

    def __init__(self, model, index, plan):
        self.model, self.index, self.plan, self.bits = model, index, plan, plan.bits
        self.graph = model.subgraphs[index]
        self.is_float = [t.type == _TYPE.FLOAT32 for t in self.graph.tensors]
        self.operators = []

    def write(self, integer_io):
        graph, model = self.graph, self.model
        old = graph.operators
        read = {t: read_constant(model, tensor) for t, tensor in enumerate(graph.tensors)}
        self.values = {t: values for t, values in read.items() if values is not None}
        if not integer_io:
            graph.inputs = np.array([self._float_input(int(t)) for t in graph.inputs], np.int32)
        for t in range(len(self.is_float)):
            if self.is_float[t] and t not in self.values:
                self._set(t, self.bits, *self.plan.scale((self.index, t)))
        for operator in old:
            self._rewrite(operator)
        outputs = [self._graph_output(int(t), integer_io) for t in graph.outputs]
        graph.outputs = np.array(outputs, np.int32)
        graph.operators = self.operators

    def _rewrite(self, operator):
        inputs, outputs = list(map(int, operator.inputs)), list(map(int, operator.outputs))
        if not any(map(self._was_float, outputs)):
            # A comparison of floats, such as features with their padding, stays one.
            inputs = [self._as_float(t) for t in inputs]
        elif not any(map(self._was_float, inputs)):  # a CAST, whose float32 output is quantized
            outputs = [self._new_tensor(outputs[0], _TYPE.FLOAT32)]
        elif is_lookup(self.model, self.graph, operator):
            self._look_up(operator, outputs[0])
            return
        elif moved_inputs(self.model, self.graph, operator):
            inputs = [self._as_group(t, outputs[0]) if self._was_float(t) else t for t in inputs]
        else:
            code, scale_of_input = flatbuffer.op_of(self.model, operator), None
            for place, t in enumerate(inputs):
                if not self._was_float(t):
                    continue
                if code == _OP.FULLY_CONNECTED and place:
                    make = self._weight if place == 1 else self._bias
                    inputs[place] = make(t, scale_of_input)
                else:
                    inputs[place] = self._with_own_scale(t)
                    scale_of_input = self.graph.tensors[inputs[place]].quantization.scale[0]
            _allow_any_scale(operator)
            outputs = [self._output(code, t) for t in outputs]
        wanted, operator.inputs = operator.outputs, np.array(inputs, np.int32)
        operator.outputs = np.array(outputs, np.int32)
        self.operators.append(operator)
        for made, t in zip(outputs, wanted, strict=True):
            if made != t:
                self._append(_OP.QUANTIZE, made, int(t))

    def _look_up(self, operator, t):
        """Look up rows of a table in 8 bits, the maximum on microcontrollers.

        For 16 bits, a second table contains the rounding errors of the first, and rows are added.
        """
        table, ids = (int(i) for i in operator.inputs)
        # The row for padding may be infinite.
        values = np.nan_to_num(self.values[table], posinf=0, neginf=0)
        scale, zero = fitted_scale(values.min(), values.max(), values.ravel(), 8, False)

        def look_up(values, scale, zero):
            stored = self._constant(table, values, 8, scale, zero)
            made = self._made(t, 8, scale, zero)
            look_up = copy.copy(operator)
            look_up.inputs = np.array([stored, ids], np.int32)
            look_up.outputs = np.array([made], np.int32)
            self.operators.append(look_up)
            return made

        made = look_up(values, scale, zero)
        if self.bits == 16:
            rest = values - (np.clip(np.rint(values / scale) + zero, -128, 127) - zero) * scale
            parts = [made, look_up(rest, scale / 255, 0)]
            wide = [self._made(t, 16, scale / 128, 0) for _ in parts]
            for part, widened in zip(parts, wide, strict=True):
                self._append(_OP.QUANTIZE, part, widened)
            made = self._made(t, 16, scale / 128, 0)
            options = schema.AddOptionsT(potScaleInt16=False)
            kind = schema.BuiltinOptions.AddOptions
            self._append(_OP.ADD, wide, made, builtinOptionsType=kind, builtinOptions=options)
        self._append(_OP.QUANTIZE, made, t)

    def _was_float(self, t):
        return 0 <= t < len(self.is_float) and self.is_float[t]

    def _output(self, code, t):
        """Return the output tensor of an op: `t`, or another one that is then requantized to `t`."""
        if code not in _FIXED:
            return t
        narrow, zero, wide = _FIXED[code]
        scale, zero = (narrow, zero) if self.bits == 8 else (wide, 0)
        if not self.plan.is_alone((self.index, t)):
            return self._made(t, self.bits, scale, zero)
        self._set(t, self.bits, scale, zero)
        return t

    def _with_own_scale(self, t):
        if t not in self.values:
            return t
        values = self.values[t]
        scale, zero = fitted_scale(values.min(), values.max(), values.ravel(), self.bits, False)
        return self._constant(t, values, self.bits, scale, zero)

    def _as_group(self, t, output):
        if t not in self.values:
            return t
        return self._constant(t, self.values[t], self.bits, *self.plan.scale((self.index, output)))

    def _weight(self, t, scale_of_input):
        values = self.values[t]
        self.row_scales = np.maximum(np.abs(values).max(axis=1), 1e-9) / 127
        integers = np.rint(values / self.row_scales[:, None]).astype(np.int8)
        return self._stored(t, integers, _TYPE.INT8, self.row_scales)

    def _bias(self, t, scale_of_input):
        scales = self.row_scales * scale_of_input
        kind, number = (_TYPE.INT32, np.int32) if self.bits == 8 else (_TYPE.INT64, np.int64)
        limit = np.iinfo(np.int32).max
        integers = np.rint(np.clip(self.values[t].ravel() / scales, -limit, limit)).astype(number)
        return self._stored(t, integers, kind, scales)

    def _constant(self, t, values, bits, scale, zero):
        low, high = (-128, 127) if bits == 8 else (-32767, 32767)
        integers = np.clip(np.rint(values / scale) + zero, low, high)
        kind, number = _KINDS[bits]
        return self._stored(t, integers.astype(number), kind, [scale], [zero])

    def _stored(self, t, integers, kind, scales, zeros=None):
        """Add a constant tensor; the float one may be used with other scales too."""
        made = self._new_tensor(t, kind)
        tensor = self.graph.tensors[made]
        tensor.buffer = flatbuffer.add_buffer(self.model, integers)
        tensor.shape = np.array(integers.shape, np.int32)
        tensor.quantization = _parameters(scales, [0] * len(scales) if zeros is None else zeros)
        return made

    def _set(self, t, bits, scale, zero):
        tensor = self.graph.tensors[t]
        tensor.type = _KINDS[bits][0]
        tensor.quantization = _parameters([scale], [zero])

    def _made(self, t, bits, scale, zero):
        made = self._new_tensor(t, _TYPE.INT8)
        self._set(made, bits, scale, zero)
        return made

    def _new_tensor(self, t, kind):
        like = self.graph.tensors[t]
        name = like.name + b"_" + str(len(self.graph.tensors)).encode()
        return flatbuffer.add_tensor(
            self.graph, name=name, shape=like.shape, type=kind, buffer=0, hasRank=like.hasRank
        )

    def _as_float(self, t):
        if not self._was_float(t) or t in self.values:  # an initial state may be a constant
            return t
        made = self._new_tensor(t, _TYPE.FLOAT32)
        self._append(_OP.DEQUANTIZE, t, made)
        return made

    def _float_input(self, t):
        if not self.is_float[t]:
            return t
        made = self._new_tensor(t, _TYPE.FLOAT32)
        self._append(_OP.QUANTIZE, made, t)
        self._redirect("inputs", t, made)
        return made

    def _graph_output(self, t, integer_io):
        made = self._as_group(t, t) if integer_io else self._as_float(t)
        self._redirect("outputs", t, made)
        return made

    def _redirect(self, side, t, made):
        for signature in self.model.signatureDefs:
            if signature.subgraphIndex == self.index:
                for entry in getattr(signature, side):
                    if entry.tensorIndex == t:
                        entry.tensorIndex = made

    def _append(self, code, inputs, output, **fields):
        self.operators.append(flatbuffer.new_op(self.model, code, inputs, output, **fields))


def _parameters(scales, zeros):
    return schema.QuantizationParametersT(
        scale=np.array(scales, np.float32), zeroPoint=np.array(zeros, np.int64)
    )


def _allow_any_scale(operator):
    # 16-bit sums otherwise require scales that are powers of two.
    if hasattr(operator.builtinOptions, "potScaleInt16"):
        operator.builtinOptions.potScaleInt16 = False
