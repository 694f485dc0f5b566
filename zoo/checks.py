"""Checks of arguments, with one form of message."""

from numbers import Real


def layer_pair(num_layers):
    """Reads `num_layers`: one integer for both stacks, or (encoder, decoder)."""
    pair = (num_layers, num_layers) if _is_integer(num_layers) else num_layers
    require(
        "num_layers",
        num_layers,
        "a positive int or a pair (encoder, decoder) of them",
        lambda _: (
            isinstance(pair, (tuple, list))
            and len(pair) == 2
            and all(_is_positive_integer(n) for n in pair)
        ),
    )
    return tuple(pair)


def require(option, value, what, holds):
    """Raises ValueError unless `holds(value)`; `what` says what the option must be."""
    if not holds(value):
        raise ValueError(f"`{option}` must be {what}. Received: {option}={value!r}")


def require_sizes(**sizes):
    """Raises ValueError unless each is a positive integer."""
    for option, value in sizes.items():
        require(option, value, "a positive int", _is_positive_integer)


def require_one_of(option, value, choices):
    """Raises ValueError unless `value` is among `choices`."""
    require(option, value, f"one of {tuple(choices)}", lambda v: v in tuple(choices))


def require_rate(option, value):
    """Raises ValueError unless `value` is a dropout rate."""
    require(
        option,
        value,
        "a number in [0, 1)",
        lambda v: is_number(v, (int, float)) and 0 <= v < 1,
    )


def is_number(value, kind=Real):
    """Whether `value` is a number of the kind, NumPy's too; a bool is none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_integer(value):
    return is_number(value, int)


def _is_positive_integer(value):
    return _is_integer(value) and value > 0
