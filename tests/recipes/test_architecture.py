"""What a recipe changes of its preset."""

import functools
from types import SimpleNamespace

import pytest

from seq2lite.recipes import pronounce, translate
from seq2lite.recipes.run.model_options import builder_options


def test_values_are_json_or_else_text():
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
        ("vocabulary_size=9",),  # the tokenizer's
        ("num_layers=2", "num_layers=3"),
        ("cell=lstm",),  # of the other family
    ],
)
def test_what_is_no_option_is_refused_before_any_work(changes):
    with pytest.raises(
        ValueError, match=r"`architecture` must be name=value, .*num_layers.* Received: "
    ):
        translate.Config(preset="transformer_tiny", architecture=changes)


@pytest.mark.parametrize(
    ("preset", "changes"), [("transformer_tiny", "model_dim=96"), ("rnn_tiny", "hidden_dim=64")]
)
def test_a_model_differs_from_its_preset_in_that(preset, changes):
    data = SimpleNamespace(tokenizer=SimpleNamespace(vocabulary={"vocabulary_size": 10}))
    models = [
        pronounce.build_model(pronounce.Config(preset=preset, architecture=options), data)
        for options in ((), (changes,))
    ]
    name, value = changes.split("=")
    assert models[1].get_config()[name] == int(value) != models[0].get_config()[name]


def test_lengths_beyond_learned_positions_are_refused_before_any_work():
    config = functools.partial(translate.Config, preset="transformer_tiny")
    learned = ("positions=learned", "max_positions=64")
    config(architecture=learned, max_length=63)  # the start of a target takes one too
    with pytest.raises(ValueError, match=r"must be at most 63, .*max_positions=64\. Received: 64"):
        config(architecture=learned, max_length=64)
    config(architecture=("max_positions=none",))  # the builder says what is wrong with that
