"""Presets, and what a wrong option says."""

import re

import pytest

from seq2lite import zoo

SMALL = {"vocabulary_size": 20}


def test_every_preset_builds_under_its_name():
    for preset in zoo.list_presets():
        if not preset.endswith("base"):  # a hundred megabytes each
            model = zoo.build(preset, **SMALL)
            assert model.name == preset
            assert isinstance(model, zoo.Seq2Seq)


def test_the_base_transformer_has_the_published_number_of_parameters():
    """Vaswani et al. 2017: 65 M with 37k tokens, all embeddings one table. Counted by hand:

    6 x (4 d² + 2 d f) and 6 x (8 d² + 2 d f) weights, with biases, norms, and pre-norm's two more.
    """
    d, f, v = 512, 2048, 37000
    attention, feed_forward, norm = 4 * (d * d + d), 2 * d * f + d + f, 2 * d
    encoder = 6 * (attention + feed_forward + 2 * norm)
    decoder = 6 * (2 * attention + feed_forward + 3 * norm)
    expected = encoder + decoder + 2 * norm + v * d + v
    assert zoo.build("transformer_base", vocabulary_size=v).count_params() == expected
    assert 62e6 < expected < 66e6


def test_options_take_the_place_of_a_presets():
    model = zoo.build("rnn_tiny", **SMALL, cell="lstm", num_layers=2, name="mine")
    assert model.name == "mine"
    assert "cell_1" in model.encode([[5, 3]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "rnn"}, "`cell` must be one of ['gru', 'lstm']. Received: cell='rnn'"),
        ({"attention": "luong"}, "`attention` must be one of"),
        ({"attention": "dot", "encoder_dim": 8}, "`encoder_dim` must be hidden_dim=256"),
        ({"encoder_dim": 7}, "`encoder_dim` must be even"),
        ({"num_layers": 0}, "`num_layers` must be a positive integer or a pair"),
        ({"num_layers": (1, 2, 3)}, "Received: num_layers=(1, 2, 3)"),
        ({"dropout": 1.0}, "`dropout` must be a number in [0, 1)"),
        ({"hidden_dim": 1.5}, "`hidden_dim` must be a positive integer"),
        ({"end_id": 20}, "`end_id` must be an integer in [0, vocabulary_size=20)"),
        ({"end_id": 2}, "must differ"),
        ({"vocabulary_size": -1}, "`vocabulary_size` must be a positive integer"),
    ],
)
def test_a_wrong_rnn_option_is_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        zoo.build("rnn_tiny", **{**SMALL, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 5}, "`num_heads` must be a divisor of model_dim=192. Received: num_heads=5"),
        ({"model_dim": 9, "num_heads": 3}, "`model_dim` must be even"),
        ({"feed_forward_dim": 0}, "`feed_forward_dim` must be a positive integer"),
        ({"dropout": "0.1"}, "`dropout` must be a number"),
    ],
)
def test_a_wrong_transformer_option_is_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        zoo.build("transformer_tiny", **{**SMALL, **options})


def test_an_unknown_preset_is_named():
    with pytest.raises(ValueError, match="Received: preset='tiny'"):
        zoo.build("tiny", **SMALL)


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="num_layer"):
        zoo.transformer(vocabulary_size=20, num_layer=2)
