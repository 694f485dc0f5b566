"""Options as dataclass fields: read from a command line, replaced by name, written to a record."""

import dataclasses
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol, Self, TypeGuard, TypeVar

T = TypeVar("T")


class Options(Protocol):
    """A dataclass whose fields are options; a field that is a dataclass itself is a group."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


OptionsT = TypeVar("OptionsT", bound=Options)


def option(default: T, text: str) -> T:
    """Return a dataclass field that is a command-line flag.

    Args:
        default: Default value.
        text: Help text of the flag.
    """
    return dataclasses.field(default=default, metadata={"help": text})


def flatten(options: Options) -> dict[str, Any]:
    """Return all options by name, those of nested groups among them.

    Args:
        options: Dataclass; a field that is a dataclass itself is a group of options.

    Example:
        >>> from seq2lite.recipes.options import flatten
        >>> from seq2lite.recipes.translate import Config
        >>> flatten(Config())["epochs"]
        8
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        values |= flatten(value) if _is_group(value) else {field.name: value}
    return values


def replace(options: OptionsT, **values: Any) -> OptionsT:
    """Return a copy with other values, like `dataclasses.replace`, but by name across groups.

    Args:
        options: Dataclass; a field that is a dataclass itself is a group of options.
        **values: New values; the name of an option in any group, or of a group.

    Raises:
        TypeError: No option has the name.
        ValueError: A value is invalid.

    Example:
        >>> from seq2lite.recipes.options import replace
        >>> from seq2lite.recipes.translate import Config
        >>> config = replace(Config(), preset="transformer_tiny", epochs=2)
        >>> config.model.preset, config.training.epochs
        ('transformer_tiny', 2)
    """
    changes = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in values:
            value = changes[field.name] = values.pop(field.name)
        if _is_group(value):
            of_group = {name: values.pop(name) for name in flatten(value) if name in values}
            if of_group:
                changes[field.name] = replace(value, **of_group)
    if values:
        raise TypeError(
            f"An option must be one of {', '.join(flatten(options))}. Received: {', '.join(values)}"
        )
    return dataclasses.replace(options, **changes)


class Configuration:
    """Base class of a dataclass with all options of a command."""

    @classmethod
    def of(cls, **options: Any) -> Self:
        """Return a configuration with other than the default options.

        Args:
            **options: Options by name, of any group; or a group, by its name.

        Example:
            >>> from seq2lite.recipes import translate
            >>> config = translate.Config.of(preset="transformer_tiny", epochs=2)
            >>> config.model.preset, config.training.epochs
            ('transformer_tiny', 2)
        """
        return replace(cls(), **options)  # type: ignore[type-var]


ConfigurationT = TypeVar("ConfigurationT", bound=Configuration)


def check_choices(name: str, chosen: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise ValueError unless every chosen value is allowed.

    Args:
        name: Name of the option.
        chosen: Values to check.
        allowed: Values that are allowed.
    """
    if not set(chosen) <= set(allowed):
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(str, allowed))}. "
            f"Received: {' '.join(map(str, chosen))}"
        )


def _is_group(value: Any) -> TypeGuard[Options]:
    return dataclasses.is_dataclass(value)
