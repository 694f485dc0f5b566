"""One recurrent layer, computed in three ways over the same weights.

Training calls the Keras layer, which has a fused kernel on GPUs, or `lstm_sequence`. A device runs
`stepwise` and `step`: the input's product is computed once for the whole sequence, so that a step has
one product only. The loop writes its outputs in place, with built-in TFLite ops at any batch and
length.
"""

from collections import namedtuple
from functools import partial

import keras
from keras import layers, ops

from ..lowering import current_lowering
from .lstm_gradient import lstm_sequence

MAX_CONCATENATED = 10  # inputs of a concatenation on microcontrollers

# `step` takes the input's part of the gates, the states, and `product`, which multiplies states with
# the recurrent kernel or with some of its columns.
Cell = namedtuple("Cell", ["layer", "states", "step"])


def _lstm_step(projected, states, product):
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    hidden, cell = states
    gates = ops.split(projected + product(hidden), 4, axis=-1)
    input_gate, forget_gate, candidate, output_gate = gates
    cell = ops.sigmoid(forget_gate) * cell + ops.sigmoid(input_gate) * ops.tanh(candidate)
    return [ops.sigmoid(output_gate) * ops.tanh(cell), cell]


def _gru_step(projected, states, product):
    """Cho et al. 2014 with the reset gate after the product, as in cuDNN: one product."""
    (hidden,) = states
    update, reset, candidate = ops.split(projected, 3, axis=-1)
    update_, reset_, candidate_ = ops.split(product(hidden), 3, axis=-1)
    update = ops.sigmoid(update + update_)
    candidate = ops.tanh(candidate + ops.sigmoid(reset + reset_) * candidate_)
    return [candidate + update * (hidden - candidate)]


def _gru_reset_before_step(projected, states, product):
    """Cho et al. 2014 as published: the reset gate before the product, so there are two products."""
    (hidden,) = states
    units = hidden.shape[-1]
    gates = ops.sigmoid(projected[:, : 2 * units] + product(hidden, end=2 * units))
    update, reset = ops.split(gates, 2, axis=-1)
    candidate = ops.tanh(projected[:, 2 * units :] + product(reset * hidden, start=2 * units))
    return [candidate + update * (hidden - candidate)]


CELLS = {
    "lstm": Cell(layers.LSTM, ("hidden", "cell"), _lstm_step),
    "gru": Cell(layers.GRU, ("hidden",), _gru_step),
    "gru_reset_before": Cell(
        partial(layers.GRU, reset_after=False), ("hidden",), _gru_reset_before_step
    ),
}


class Recurrence(layers.Layer):
    """One LSTM or GRU layer in one direction.

    Args:
        cell: A name in CELLS.
        units: Size of its states.
        backward: Read sequences from the last token to the first; outputs keep their positions.
    """

    def __init__(self, cell, units, backward=False, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.cell = cell
        self.units = units
        self.backward = backward
        self.layer = CELLS[cell].layer(
            units, return_sequences=True, return_state=True, go_backwards=backward, name="layer"
        )

    def build(self, shape):
        self.layer.build(shape)

    def call(self, x, mask=None, initial_state=None):
        """Read entire sequences, by Keras's layer or by `lstm_sequence`.

        Args:
            x: `(batch, length, dim)`.
            mask: bool `(batch, length)`, False at padding, which leaves states unchanged. Default:
                no padding.
            initial_state: List of `(batch, units)`. Default: zeros.

        Returns:
            Outputs `(batch, length, units)`, and the list of last states.
        """
        if self.cell == "lstm" and _on_cpu():
            return self._lstm(x, mask, initial_state)
        outputs, *states = self.layer(x, mask=mask, initial_state=initial_state)
        return (ops.flip(outputs, axis=1) if self.backward else outputs), states

    def _lstm(self, x, mask, states):
        """`call` where Keras's layer has no fused kernel."""
        batch, length, dim = ops.shape(x)
        rows = ops.reshape(ops.transpose(x, (1, 0, 2)), (-1, dim))
        projected = ops.reshape(self.project(rows), (length, batch, 4 * self.units))
        if states is None:
            states = [ops.zeros((batch, self.units), x.dtype)] * 2
        keep = None if mask is None else ops.expand_dims(ops.transpose(ops.cast(mask, x.dtype)), 2)
        kernel = ops.cast(self.layer.cell.recurrent_kernel, x.dtype)
        results = lstm_sequence(projected, kernel, *states, keep, reverse=self.backward)
        last = 0 if self.backward else -1
        return ops.transpose(results[0], (1, 0, 2)), [result[last] for result in results]

    def project(self, x):
        """The input's part of all gates: `(rows, dim)` to `(rows, gates * units)`."""
        kernel = ops.cast(self.layer.cell.kernel, x.dtype)
        return ops.matmul(x, kernel) + self._biases(x.dtype)[0]

    def step(self, projected, states):
        """Read one token per sentence.

        Args:
            projected: The result of `project`, `(batch, gates * units)`.
            states: List of `(batch, units)`.

        Returns:
            The next states.
        """
        kernel = ops.cast(self.layer.cell.recurrent_kernel, projected.dtype)
        bias = self._biases(projected.dtype)[1]

        def product(x, start=0, end=kernel.shape[-1]):
            columns = kernel if end - start == kernel.shape[-1] else kernel[:, start:end]
            product = ops.matmul(x, columns)
            return product if bias is None else product + bias

        return CELLS[self.cell].step(projected, list(states), product)

    def stepwise(self, x, mask):
        """`call` by `step`s, for a device: in a loop, or unrolled if the lowering asks for it.

        Args:
            x: `(batch, length, dim)`.
            mask: bool `(batch, length)`, True at the first tokens of each row.

        Returns:
            As `call`.
        """
        return self._unrolled(x, mask) if current_lowering().unroll else self._loop(x, mask)

    def _loop(self, x, mask):
        batch, length, dim = ops.shape(x)
        if self.backward:
            # Reverses each row's tokens and leaves its padding at the end.
            positions = reversed_positions(mask)
            x = take_positions(x, positions)
        projected = self.project(ops.reshape(x, (-1, dim)))
        # Time first: a step reads one row and writes one.
        projected = ops.transpose(ops.reshape(projected, (batch, length, -1)), (1, 0, 2))
        keep = ops.cast(ops.expand_dims(ops.transpose(mask), 2), x.dtype)

        def step(t, outputs, *states):
            after = self.step(ops.take(projected, t, axis=0), states)
            states = _updated(states, after, ops.take(keep, t, axis=0))
            outputs = ops.slice_update(outputs, [t, 0, 0], ops.expand_dims(states[0], 0))
            return (t + 1, outputs, *states)

        outputs = ops.zeros((length, batch, self.units), x.dtype)
        _, outputs, *states = ops.while_loop(
            lambda t, *_: ops.less(t, length),
            step,
            (ops.convert_to_tensor(0, "int32"), outputs, *self._zeros(batch, x.dtype)),
        )
        outputs = ops.transpose(outputs, (1, 0, 2))
        return (take_positions(outputs, positions) if self.backward else outputs), states

    def _unrolled(self, x, mask):
        """One `step` after the other, for a static length.

        Backward, padding comes first: it keeps the states at the zeros that they start with.
        """
        batch, length, dim = ops.shape(x)
        # Of rank 2: GPU delegates have no slice that drops an axis.
        projected = ops.reshape(self.project(ops.reshape(x, (-1, dim))), (batch, -1))
        width = projected.shape[1] // length
        keep = ops.cast(mask, x.dtype)
        states, outputs = self._zeros(batch, x.dtype), [None] * length
        for t in reversed(range(length)) if self.backward else range(length):
            after = self.step(projected[:, t * width : (t + 1) * width], states)
            states = _updated(states, after, keep[:, t : t + 1])
            outputs[t] = ops.expand_dims(states[0], 1)
        while len(outputs) > 1:
            groups = range(0, len(outputs), MAX_CONCATENATED)
            outputs = [ops.concatenate(outputs[i : i + MAX_CONCATENATED], axis=1) for i in groups]
        return outputs[0], states

    def _zeros(self, batch, dtype):
        return [ops.zeros((batch, self.units), dtype) for _ in CELLS[self.cell].states]

    def _biases(self, dtype):
        """The input's and the recurrent bias: only the GRU that resets after its product has both."""
        bias = ops.cast(self.layer.cell.bias, dtype)
        return (bias[0], bias[1]) if self.cell == "gru" else (bias, None)


def _updated(states, after, keep):
    """The states `after` a step where `keep (batch, 1)` is 1, and those before it where it is 0."""
    return [old + keep * (new - old) for new, old in zip(after, states, strict=True)]


def _on_cpu():
    """Whether Keras's layer has no fused GPU kernel here."""
    # Keras lists no devices of PyTorch.
    return keras.backend.backend() != "torch" and keras.distribution.list_devices()[0].startswith(
        "cpu"
    )


def reversed_positions(mask, but_last=0):
    """Positions `(batch, length)` that reverse the tokens of each row, but its last ones.

    Args:
        mask: bool `(batch, length)`, True at the first tokens of each row. Padding keeps its place.
        but_last: Number of last tokens of each row that keep their place.
    """
    length = ops.shape(mask)[1]
    ends = ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True) - but_last
    position = ops.expand_dims(ops.arange(length, dtype="int32"), 0)
    return ops.where(ops.less(position, ends), ends - 1 - position, position)


def take_positions(x, positions):
    """`x[b, positions[b, t]]` for `x (batch, length, dim)`, as one gather of whole rows."""
    batch, length, dim = ops.shape(x)
    first = ops.expand_dims(ops.arange(batch, dtype="int32") * length, 1)
    rows = ops.take(ops.reshape(x, (-1, dim)), ops.reshape(first + positions, (-1,)), axis=0)
    return ops.reshape(rows, (batch, length, dim))
