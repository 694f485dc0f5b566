"""The model of a recipe: a preset, changed by options."""

import dataclasses
import inspect
import json

import keras

from seq2lite import zoo
from seq2lite.export.checks import length_limits
from seq2lite.export.runtime.tokenizer import Tokenizer, Tokenizers
from seq2lite.zoo.presets import BUILDERS, PRESETS, check_options, family_of

from ..distributed.precision import precision
from ..options import check_choices, option
from ..training.options import Training

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

    @property
    def peak_learning_rate(self) -> float:
        """Default peak learning rate of the preset's model family."""
        return family_of(self.preset).peak_learning_rate

    def check_lengths(self, max_source_length: int, max_target_length: int) -> None:
        """Raise ValueError if the maximum lengths are invalid, or the positions do not cover them."""
        options = PRESETS[self.preset] | builder_options(self.preset, self.architecture)
        positions = options.get("max_positions") if options.get("positions") == "learned" else None
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
    builder = BUILDERS[PRESETS[preset]["builder"]]
    allowed = sorted(set(inspect.signature(builder).parameters) - _SET_BY_RECIPE)
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


def build_model(
    options: ModelOptions, training: Training, tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer]
) -> zoo.Seq2Seq:
    """Build the model with random weights.

    Args:
        options: The `ModelOptions`.
        training: The `Training` options, for the random seed and the compute dtype.
        tokenizer: A `Tokenizer`, or one for each side, for the vocabulary.
    """
    architecture = builder_options(options.preset, options.architecture)
    keras.utils.set_random_seed(training.seed)
    with precision(training.precision):
        return zoo.build(
            options.preset,
            dropout=options.dropout,
            **architecture,
            **Tokenizers.of(tokenizer).vocabulary,
        )
