"""What a recipe changes of its preset, as its flag says it."""

import dataclasses
import inspect
import json

from seq2lite.export.checks import length_limits
from seq2lite.export.quantization.modes import check_quantizations
from seq2lite.zoo.presets import BUILDERS, PRESETS, list_presets

from ..options import check_choices
from ..training.schedules import peak_learning_rate

# What the recipe itself gives the builder: the tokenizer's, and that of a flag of its own.
GIVEN = {"name", "dropout", "vocabulary_size", "source_vocabulary_size"}


GIVEN |= {"pad_id", "start_id", "end_id"}


def builder_options(preset, changes):
    """The options of the preset's builder that `changes` name.

    Args:
        preset: One of `zoo.list_presets()`.
        changes: Tuple of str, `name=value`; a value is JSON, or else a string, and a list a tuple.

    Returns:
        dict, name to value.

    Raises:
        ValueError: One has no such form, is none of the builder's, or is named twice.

    Example:
        >>> from seq2lite.recipes.run.model_options import builder_options
        >>> builder_options("transformer_tiny", ("num_layers=[6,2]", "positions=rotary"))
        {'num_layers': (6, 2), 'positions': 'rotary'}
    """
    builder = BUILDERS[PRESETS[preset]["builder"]]
    allowed = sorted(set(inspect.signature(builder).parameters) - GIVEN)
    options = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name not in allowed or name in options:
            raise ValueError(
                f"`architecture` must be name=value, each name once and of {', '.join(allowed)}. "
                f"Received: {' '.join(changes)}"
            )
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
        if isinstance(options[name], list):
            options[name] = tuple(options[name])
    return options


def training_of(config):
    """The recipe's Training, with the learning rate that suits its preset's family if it asks for none."""
    is_rnn = PRESETS[config.preset]["builder"] == "rnn_seq2seq"
    rate = peak_learning_rate(config.training.learning_rate, is_rnn)
    return dataclasses.replace(config.training, learning_rate=rate)


def check_model(config):
    """Raises ValueError, before any work, where a recipe asks for a model that cannot be.

    Args:
        config: The recipe's Config, with `preset`, `architecture`, `lengths` and `quantizations`.
    """
    check_choices("preset", [config.preset], list_presets())
    options = PRESETS[config.preset] | builder_options(config.preset, config.architecture)
    positions = options.get("max_positions") if options.get("positions") == "learned" else None
    length_limits(*config.lengths, positions if isinstance(positions, int) else None)
    if config.quantizations:
        check_quantizations(config.quantizations)
