"""One recurrent layer, run three ways over the same weights.

Training calls the Keras layer (and its fused kernel, where a GPU has one). A device gets `step` and
`loop`: the input's product is taken once for the whole sequence, so that a step holds one product
only, and the loop writes its outputs in place, with built-in TFLite ops at any batch and length.
"""

from collections import namedtuple
from functools import partial

import keras
from keras import layers, ops

from .lstm_gradient import lstm_sequence

# `step` takes the input's part of the gates, the states, and `product`: of states with the
# recurrent kernel, or with some of its columns.
Cell = namedtuple("Cell", ["layer", "states", "step"])


def _lstm_step(projected, states, product):
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    hidden, cell = states
    gates = ops.split(projected + product(hidden), 4, axis=-1)
    input_gate, forget_gate, candidate, output_gate = gates
    cell = ops.sigmoid(forget_gate) * cell + ops.sigmoid(input_gate) * ops.tanh(candidate)
    return [ops.sigmoid(output_gate) * ops.tanh(cell), cell]


def _gru_step(projected, states, product):
    """Cho et al. 2014, with the reset gate after the product, as cuDNN has it: one product."""
    (hidden,) = states
    update, reset, candidate = ops.split(projected, 3, axis=-1)
    update_, reset_, candidate_ = ops.split(product(hidden), 3, axis=-1)
    update = ops.sigmoid(update + update_)
    candidate = ops.tanh(candidate + ops.sigmoid(reset + reset_) * candidate_)
    return [candidate + update * (hidden - candidate)]


def _gru_reset_before_step(projected, states, product):
    """Cho et al. 2014 as published: the reset gate before the product, of which there are two."""
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
        backward: Read sequences from their last token to their first; outputs keep their places.
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
        """`(batch, length, dim)` to outputs `(batch, length, units)` and the list of last states.

        Args:
            x: The sequences.
            mask: bool `(batch, length)`, False at padding, which leaves states as they are.
            initial_state: List of `(batch, units)`; zeros if None.
        """
        if self.cell == "lstm" and _on_cpu():
            return self._lstm(x, mask, initial_state)
        outputs, *states = self.layer(x, mask=mask, initial_state=initial_state)
        return (ops.flip(outputs, axis=1) if self.backward else outputs), states

    def _lstm(self, x, mask, states):
        """`call` where there is no kernel of a GPU."""
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
        """One token: `project`'s result `(batch, gates * units)` and states to the next states."""
        kernel = ops.cast(self.layer.cell.recurrent_kernel, projected.dtype)
        bias = self._biases(projected.dtype)[1]

        def product(x, start=0, end=kernel.shape[-1]):
            columns = kernel if end - start == kernel.shape[-1] else kernel[:, start:end]
            product = ops.matmul(x, columns)
            return product if bias is None else product + bias

        return CELLS[self.cell].step(projected, list(states), product)

    def loop(self, x, token):
        """`call` as a loop of `step`; `token` is the mask, True at the first tokens of each row."""
        batch, length, dim = ops.shape(x)
        if self.backward:
            # Each row's tokens reversed, its padding left at the end.
            place = reversed_places(token)
            x = take_places(x, place)
        projected = self.project(ops.reshape(x, (-1, dim)))
        # Time first: a step reads one row, and writes one.
        projected = ops.transpose(ops.reshape(projected, (batch, length, -1)), (1, 0, 2))
        keep = ops.cast(ops.expand_dims(ops.transpose(token), 2), x.dtype)
        zeros = ops.zeros((batch, self.units), x.dtype)
        states = [zeros for _ in CELLS[self.cell].states]

        def step(t, outputs, *states):
            keep_t = ops.take(keep, t, axis=0)
            after = self.step(ops.take(projected, t, axis=0), states)
            states = [old + keep_t * (new - old) for new, old in zip(after, states, strict=True)]
            outputs = ops.slice_update(outputs, [t, 0, 0], ops.expand_dims(states[0], 0))
            return (t + 1, outputs, *states)

        outputs = ops.zeros((length, batch, self.units), x.dtype)
        _, outputs, *states = ops.while_loop(
            lambda t, *_: ops.less(t, length),
            step,
            (ops.convert_to_tensor(0, "int32"), outputs, *states),
        )
        outputs = ops.transpose(outputs, (1, 0, 2))
        return (take_places(outputs, place) if self.backward else outputs), states

    def _biases(self, dtype):
        """The input's and the recurrent bias: only the GRU that resets after its product has both."""
        bias = ops.cast(self.layer.cell.bias, dtype)
        return (bias[0], bias[1]) if self.cell == "gru" else (bias, None)


def _on_cpu():
    """Whether Keras's layer has no fused kernel of a GPU."""
    # Keras lists no devices of PyTorch.
    return keras.backend.backend() != "torch" and keras.distribution.list_devices()[0].startswith(
        "cpu"
    )


def reversed_places(token, but_last=0):
    """Where each place's token comes from when each row's tokens, but the last, change order.

    `token` is bool `(batch, length)`, True at the first tokens of each row; the rest, padding, stays.
    """
    length = ops.shape(token)[1]
    ends = ops.sum(ops.cast(token, "int32"), axis=1, keepdims=True) - but_last
    place = ops.expand_dims(ops.arange(length, dtype="int32"), 0)
    return ops.where(ops.less(place, ends), ends - 1 - place, place)


def take_places(x, place):
    """`x[b, place[b, t]]` for `x` `(batch, length, dim)`, as one gather of whole rows."""
    batch, length, dim = ops.shape(x)
    first = ops.expand_dims(ops.arange(batch, dtype="int32") * length, 1)
    rows = ops.take(ops.reshape(x, (-1, dim)), ops.reshape(first + place, (-1,)), axis=0)
    return ops.reshape(rows, (batch, length, dim))
