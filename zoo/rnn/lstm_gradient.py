"""An LSTM over whole sequences with a custom gradient, for training on a CPU.

Automatic differentiation of the loop adds up the recurrent kernel's gradient step by step: each step
needs a product of few rows and a pass over the whole kernel. Here a backward step has one product, as
a forward step has, and the kernel's gradient is a single product over all steps.
"""

from keras import ops


def lstm_sequence(projected, kernel, hidden, cell, keep=None, reverse=False):
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.

    Args:
        projected: The input's part of the gates, time first: `(length, batch, 4 * units)`.
        kernel: The recurrent kernel `(units, 4 * units)`; gates in Keras's order.
        hidden: First hidden state `(batch, units)`.
        cell: First cell `(batch, units)`.
        keep: `(length, batch, 1)`: 1 at tokens, 0 at padding, which leaves states unchanged. Default:
            all ones.
        reverse: Whether to run from the last step to the first.

    Returns:
        Hidden states and cells after each step, each `(length, batch, units)`.
    """
    units = kernel.shape[0]

    # One output, because a custom gradient of the PyTorch backend supports only one.
    @ops.custom_gradient
    def states(projected, kernel, hidden, cell):
        def step(carry, now):
            hidden, cell, _ = carry
            now, keep_now = now[:, : 4 * units], now[:, 4 * units :]
            gates = now + ops.matmul(hidden, kernel)
            i, f, g, o = _activated(gates)
            next_cell = f * cell + i * g
            next_hidden = o * ops.tanh(next_cell)
            if keep is not None:
                next_cell = cell + keep_now * (next_cell - cell)
                next_hidden = hidden + keep_now * (next_hidden - hidden)
            return (next_hidden, next_cell, gates), (next_hidden, next_cell, gates)

        first = (hidden, cell, ops.zeros_like(projected[0]))
        _, (hiddens, cells, gates) = ops.scan(
            step, first, _with_keep([projected], keep), reverse=reverse
        )
        before = [
            _shifted(first, all_, reverse) for first, all_ in ((hidden, hiddens), (cell, cells))
        ]

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            i, f, g, o = _activated(gates)
            tanh = ops.tanh(f * before[1] + i * g)
            # Derivatives: of the hidden state by the cell, then by each gate of the cell, the cell,
            # the cell and the hidden state.
            factors = [o * (1 - tanh * tanh), g * i * (1 - i), before[1] * f * (1 - f)]
            factors += [i * (1 - g * g), tanh * o * (1 - o), f]

            def step_back(carry, now):
                of_hidden, of_cell, _ = carry
                now, keep_now = now[:, : 8 * units], now[:, 8 * units :]
                from_hidden, from_cell, by_hidden, by_i, by_f, by_g, by_o, f = ops.split(now, 8, -1)
                of_hidden, of_cell = of_hidden + from_hidden, of_cell + from_cell
                kept = 0
                if keep is not None:
                    kept = of_hidden * (1 - keep_now), of_cell * (1 - keep_now)
                    of_hidden, of_cell = of_hidden * keep_now, of_cell * keep_now
                of_cell = of_cell + of_hidden * by_hidden
                of_gates = ops.concatenate(
                    [of_cell * by_i, of_cell * by_f, of_cell * by_g, of_hidden * by_o], axis=-1
                )
                of_hidden, of_cell = ops.matmul(of_gates, transposed), of_cell * f
                if keep is not None:
                    of_hidden, of_cell = of_hidden + kept[0], of_cell + kept[1]
                return (of_hidden, of_cell, of_gates), (of_hidden, of_cell, of_gates)

            transposed = ops.transpose(kernel)
            last = (ops.zeros_like(hidden), ops.zeros_like(cell), ops.zeros_like(projected[0]))
            (of_hidden, of_cell, _), (_, _, of_gates) = ops.scan(
                step_back, last, _with_keep([upstream, *factors], keep), reverse=not reverse
            )
            rows = ops.reshape(before[0], (-1, units)), ops.reshape(of_gates, (-1, 4 * units))
            of_kernel = ops.matmul(ops.transpose(rows[0]), rows[1])
            return of_gates, of_kernel, of_hidden, of_cell

        return ops.concatenate([hiddens, cells], axis=-1), gradient

    return ops.split(states(projected, kernel, hidden, cell), 2, axis=-1)


def _activated(gates):
    i, f, g, o = ops.split(gates, 4, axis=-1)
    return ops.sigmoid(i), ops.sigmoid(f), ops.tanh(g), ops.sigmoid(o)


def _with_keep(parts, keep):
    """Join sequences: Keras's scan accepts only one if its length is unknown."""
    parts = parts if keep is None else [*parts, keep]
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)


def _shifted(first, states, reverse):
    """The states before each step, from the first state and the states after each step."""
    first = ops.expand_dims(first, 0)
    parts = [states[1:], first] if reverse else [first, states[:-1]]
    return ops.concatenate(parts, axis=0)
