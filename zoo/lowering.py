"""Choices of how layers are traced for a runtime.

Training and search use the defaults. `export` traces its signatures under `lowered`; layers read the
choices through `current_lowering` while they are traced.
"""

from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from keras import ops


def take_rows(table, ids):
    """Rows `(n, dim)` of a table at `ids (n,)`."""
    return ops.take(table, ids, axis=0)


def call(function, *arguments):
    """Call `function`; a `Lowering.call` may put it into a graph of its own."""
    return function(*arguments)


@dataclass(frozen=True)
class Lowering:
    """Choices for the graphs that layers are traced to; they depend on the runtime.

    Args:
        take_rows: Embedding look-up: table `(rows, dim)` and ids `(n,)` to rows `(n, dim)`.
        call: Calls a function that runs once per source, such as an encoder: `call(function,
            *arguments)`. It may put the function into a graph that the file holds once.
        unroll: Unroll the recurrence over a source, whose length must then be static.
        gelu_op: Whether the runtime has a GELU op; if not, GELU is written with a sigmoid.
        padding_id: Id whose embedding padding gets; None for zeros. Without variance, zeros make
            normalizations divide by epsilon, and the result takes up the range of an integer scale.
        cache_slots: Number of slots of a KV cache of static size; None for one that grows.
    """

    take_rows: Callable = take_rows
    call: Callable = call
    unroll: bool = False
    gelu_op: bool = True
    padding_id: int | None = None
    cache_slots: int | None = None


DEFAULT = Lowering()
_CURRENT = ContextVar("lowering", default=DEFAULT)


def current_lowering() -> Lowering:
    """Return the `Lowering` under which layers are traced now."""
    return _CURRENT.get()


@contextmanager
def lowered(choices: Lowering):
    """While the context is open, layers are traced under the `Lowering` given.

    Example:
        >>> from seq2lite.zoo.lowering import Lowering, current_lowering, lowered
        >>> with lowered(Lowering(cache_slots=8)):
        ...     print(current_lowering().cache_slots)
        8
        >>> current_lowering().cache_slots is None
        True
    """
    token = _CURRENT.set(choices)
    try:
        yield
    finally:
        _CURRENT.reset(token)
