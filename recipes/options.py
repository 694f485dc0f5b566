"""Command-line options as dataclass fields."""

import dataclasses


def option(default, text):
    """A field of a Config, with what --help says of its flag."""
    return dataclasses.field(default=default, metadata={"help": text})


def check_choices(name, chosen, allowed):
    """Raises ValueError unless all that is chosen is allowed."""
    if not set(chosen) <= set(allowed):
        raise ValueError(
            f"`{name}` must be of {', '.join(map(str, allowed))}. "
            f"Received: {' '.join(map(str, chosen))}"
        )


def require_files(train, valid):
    """Raises ValueError unless `train` names a file or two, and `valid` as many or none."""
    for name, paths, least in (("train", train, 1), ("valid", valid, 0)):
        if not least <= len(paths) <= 2:
            raise ValueError(
                f"`{name}` must be a file of pairs, or a file of sources and one of targets. "
                f"Received: {' '.join(paths) or 'none'}"
            )
