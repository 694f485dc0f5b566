"""Optional dependencies: the extras of pyproject.toml."""

from importlib.util import find_spec


def require_extra(extra: str, user: str, *packages: str) -> None:
    """Raise ImportError unless the packages of an extra are installed; import none of them.

    Args:
        extra: Name of the extra.
        user: Name of the package or command that needs them.
        packages: Names of the packages as they are imported.

    Raises:
        ImportError: A package is missing. The message contains the command that installs it.

    Example:
        >>> from seq2lite.extras import require_extra
        >>> require_extra("train", "seq2lite.zoo", "no_such_package")
        Traceback (most recent call last):
            ...
        ImportError: seq2lite.zoo needs no_such_package, which is not installed. Install the extra `train`: pip install 'seq2lite[train]'
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ImportError(
            f"{user} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} "
            f"not installed. Install the extra `{extra}`: pip install 'seq2lite[{extra}]'"
        )
