"""The simpler simple recurrent unit (SSRU)."""

from keras import layers, ops

from ..layers.scan import scan_time


class SSRU(layers.Layer):
    """The simpler simple recurrent unit: Kim et al. 2019, https://aclanthology.org/D19-5632.

    f = sigmoid(W_f x + b_f), c' = f c + (1 - f) W x; the output is relu(c'). A step costs the same at
    any length. The methods take the arguments of `SelfAttention`'s; a recurrence needs no bias and no
    positions.

    Args:
        dim: Size of inputs, outputs and the cell.
    """

    state_names = ("cell",)
    has_cache = False

    def __init__(self, dim, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.forget = layers.Dense(dim, name="forget")
        self.candidate = layers.Dense(dim, use_bias=False, name="candidate")

    def build(self, shape):
        self.forget.build(shape)
        self.candidate.build(shape)

    def call(self, x, bias=None, rotation=None, *, batch):
        """Read entire sequences, `(batch * length, dim)` to the same shape."""
        parts = [ops.reshape(part, (batch, -1, self.dim)) for part in self._parts(x)]
        first = ops.zeros_like(parts[0][:, 0])
        cells = scan_time(lambda cell, now: self._next(cell, *now), first, parts)
        return ops.relu(ops.reshape(cells, (-1, self.dim)))

    def first_state(self, batch, slots):
        """The cell `(batch, dim)` before the first token."""
        return [ops.zeros((batch, self.dim), self.compute_dtype)]

    def grow(self, state, length):
        """The same state, which has no slots."""
        return state

    def step(self, x, state, bias=None, rotation=None):
        """Read one token per sentence, `x (batch, dim)`."""
        cell = self._next(*state, *self._parts(x))
        return ops.relu(cell), [cell]

    def _parts(self, x):
        return ops.sigmoid(self.forget(x)), self.candidate(x)

    @staticmethod
    def _next(cell, forget, candidate):
        return candidate + forget * (cell - candidate)
