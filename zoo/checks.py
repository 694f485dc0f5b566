"""Checks of arguments, with one form of message."""

from numbers import Integral, Real

from keras import ops


def require(option, value, expected, holds):
    """Raise ValueError unless `holds(value)`; `expected` describes the values that are allowed."""
    if not holds(value):
        raise ValueError(f"`{option}` must be {expected}. Received: {option}{_shown(value)}")


def _shown(value):
    """Format a value for an error: an array by its shape, a long value cut."""
    if shape := tuple(getattr(value, "shape", ())):
        return f" of shape {shape}"
    shown = repr(value)
    return "=" + (shown if len(shown) <= 80 else f"{shown[:79]}…")


def require_sizes(**sizes):
    """Raise ValueError unless each is a positive integer."""
    for option, value in sizes.items():
        require(option, value, "a positive int", is_positive_integer)


def require_one_of(option, value, choices):
    """Raise ValueError unless `value` is one of `choices`."""
    require(option, value, f"one of {tuple(choices)}", lambda v: v in tuple(choices))


def require_bool(**flags):
    """Raise ValueError unless each is True or False."""
    for option, value in flags.items():
        require(option, value, "True or False", lambda v: isinstance(v, bool))


def require_rate(option, value):
    """Raise ValueError unless `value` is a dropout rate."""
    require(option, value, "a number in [0, 1)", lambda v: is_number(v) and 0 <= v < 1)


def layer_pair(num_layers):
    """Return `num_layers` as (encoder, decoder): one integer stands for both."""
    pair = (num_layers, num_layers) if is_number(num_layers, Integral) else num_layers
    require(
        "num_layers",
        num_layers,
        "a positive int or a pair (encoder, decoder) of them",
        lambda _: (
            isinstance(pair, (tuple, list))
            and len(pair) == 2
            and all(is_positive_integer(n) for n in pair)
        ),
    )
    return plain(tuple(pair))


def has_shape(x, *shape):
    """Return whether a tensor has the rank of `shape` and its sizes, as far as they are static."""
    sizes = ops.shape(x)
    return len(sizes) == len(shape) and all(
        a == b for a, b in zip(sizes, shape, strict=True) if is_number(a) and is_number(b)
    )


def is_number(value, kind=Real):
    """Whether `value` is a number of a kind of `numbers`, NumPy's included; a bool is not."""
    return isinstance(value, kind) and not isinstance(value, bool)


def is_positive_integer(value):
    """Whether `value` is an integer of 1 or more."""
    return is_number(value, Integral) and value > 0


def plain(value):
    """Replace NumPy numbers by Python's, also inside a dict, tuple or list."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(plain(item) for item in value)
    if is_number(value, Integral):
        return int(value)
    return float(value) if is_number(value) else value
