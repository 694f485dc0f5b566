"""Options of the model that differ from its preset."""

import functools

import pytest

from seq2lite.recipes import translate
from seq2lite.recipes.run.build import build_model
from seq2lite.recipes.run.model import builder_options


def test_values_are_json_or_else_strings():
    changes = ("num_layers=[3,1]", "positions=rotary", "norm_first=false", "num_key_heads=null")
    assert builder_options("transformer_tiny", changes) == {
        "num_layers": (3, 1),
        "positions": "rotary",
        "norm_first": False,
        "num_key_heads": None,
    }


@pytest.mark.parametrize(
    "changes",
    [
        ("num_layers",),
        ("num_layers:2",),
        ("layers=2",),
        ("dropout=0.3",),  # it has a flag
        ("vocabulary_size=9",),  # set by the tokenizer
        ("num_layers=2", "num_layers=3"),
        ("cell=lstm",),  # of the other family
    ],
)
def test_an_unknown_option_is_refused_before_any_work(changes):
    with pytest.raises(
        ValueError, match=r"`architecture` must be name=value, .*num_layers.* Received: "
    ):
        translate.Config.of(preset="transformer_tiny", architecture=changes)


@pytest.mark.parametrize(
    ("preset", "changes"), [("transformer_tiny", "model_dim=96"), ("rnn_tiny", "hidden_dim=64")]
)
def test_a_model_differs_from_its_preset_in_its_options(preset, changes, tokenizer):
    configs = [translate.Config.of(preset=preset, architecture=a) for a in ((), (changes,))]
    models = [build_model(config, tokenizer) for config in configs]
    name, value = changes.split("=")
    assert models[1].get_config()[name] == int(value) != models[0].get_config()[name]


def test_lengths_beyond_learned_positions_are_refused_before_any_work():
    config = functools.partial(translate.Config.of, preset="transformer_tiny")
    learned = ("positions=learned", "max_positions=64")
    config(architecture=learned, max_length=63)  # the start of a target takes one too
    with pytest.raises(
        ValueError, match=r"must be at most 63 .*max_positions=64\. Received: max_length=64"
    ):
        config(architecture=learned, max_length=64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("max_positions=none", "`max_positions` must be None with positions='sinusoidal'"),
        ("num_heads=5", "`num_heads` must be a divisor of model_dim=192"),
        ("positions=learned", "`max_positions` must be a positive int with"),
    ],
)
def test_a_value_that_the_builder_rejects_is_refused_before_any_work(changes, message):
    with pytest.raises(ValueError, match=message):
        translate.Config.of(preset="transformer_tiny", architecture=(changes,))
