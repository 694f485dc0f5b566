"""Options of a recipe's model: a preset, and changes to it."""

import dataclasses
import inspect
import json
from collections.abc import Mapping
from typing import Any, Self

from seq2lite import zoo
from seq2lite.zoo.presets import BUILDERS, PRESETS, check_options, family_of
from seq2lite.zoo.text import length_limits

from ..options import check_choices, option

# Arguments of builders that recipes set: from a flag of their own, or from the tokenizer.
_SET_BY_RECIPE = {
    "name",
    "dropout",
    "vocabulary_size",
    "source_vocabulary_size",
    "pad_id",
    "start_id",
    "end_id",
}


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """Model options; each field is a flag of every recipe."""

    preset: str = option("rnn_tiny", f"preset of the model: {', '.join(zoo.list_presets())}")
    dropout: float = option(0.1, "dropout rate")
    architecture: tuple[str, ...] = option(
        (),
        "options that differ from the preset, such as num_layers=3 (listed in docs/reference/zoo.md)",
    )

    def __post_init__(self):
        check_choices("preset", [self.preset], zoo.list_presets())
        changes = builder_options(self.preset, self.architecture)
        check_options(self.preset, dropout=self.dropout, **changes)

    @classmethod
    def of_model(cls, family: str, config: Mapping[str, Any]) -> Self:
        """Return the options of a model that exists.

        Args:
            family: Name of its builder.
            config: Arguments of the builder, as in `model.get_config()`. A model without the name
                of a preset is described by the closest preset.
        """
        settings = {n: tuple(v) if isinstance(v, list) else v for n, v in config.items()}
        candidates = []
        for preset in (n for n, p in PRESETS.items() if p["builder"] == family):
            options = cls(preset).options
            changes = {n: v for n, v in settings.items() if n in options and options[n] != v}
            candidates.append((preset != config["name"], len(changes), preset, changes))
        *_, preset, changes = min(candidates)
        architecture = tuple(f"{name}={json.dumps(value)}" for name, value in changes.items())
        return cls(preset, config["dropout"], architecture)

    @property
    def options(self) -> dict[str, Any]:
        """All options of the architecture, by name."""
        preset = PRESETS[self.preset]
        defaults = {n: p.default for n, p in _parameters(self.preset).items()}
        settings = {**defaults, **preset, **builder_options(self.preset, self.architecture)}
        return {name: settings[name] for name in defaults if name not in _SET_BY_RECIPE}

    @property
    def peak_learning_rate(self) -> float:
        """Default peak learning rate of the preset's model family."""
        return family_of(self.preset).peak_learning_rate

    def check_lengths(self, max_source_length: int, max_target_length: int) -> None:
        """Raise ValueError if the maximum lengths are invalid, or the positions do not cover them."""
        options = self.options
        positions = options["max_positions"] if options.get("positions") == "learned" else None
        length_limits(max_source_length, max_target_length, positions)


def builder_options(preset: str, changes: tuple[str, ...]) -> dict:
    """Parse the options that differ from a preset.

    Args:
        preset: Name of a preset; see `zoo.list_presets`.
        changes: Options as `name=value`. A value is JSON, or else a string; a list becomes a tuple.

    Returns:
        Arguments of the preset's builder, by name.

    Raises:
        ValueError: An option has another form, is unknown to the builder, or occurs twice.

    Example:
        >>> from seq2lite.recipes.run.model import builder_options
        >>> builder_options("transformer_tiny", ("num_layers=[6,2]", "positions=rotary"))
        {'num_layers': (6, 2), 'positions': 'rotary'}
    """
    allowed = sorted(set(_parameters(preset)) - _SET_BY_RECIPE)
    options = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name not in allowed or name in options:
            raise ValueError(
                f"`architecture` must be name=value, each name once and an option of {preset}: "
                f"{', '.join(allowed)}. Received: {' '.join(changes)}"
            )
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
        if isinstance(options[name], list):
            options[name] = tuple(options[name])
    return options


def _parameters(preset):
    """Return the parameters of a preset's builder by name."""
    return inspect.signature(BUILDERS[PRESETS[preset]["builder"]]).parameters
