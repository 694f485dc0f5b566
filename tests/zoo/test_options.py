"""Presets and builder options; errors name the wrong option."""

import re

import keras
import numpy as np
import pytest

from seq2lite import zoo

SMALL = {"vocabulary_size": 20}


def test_the_base_transformer_counts_as_the_paper_does():
    """By hand: 6 x (4 d² + 2 d f) and 6 x (8 d² + 2 d f) weights, with biases and norms."""
    d, f, v = 512, 2048, 37000
    attention, feed_forward, norm = 4 * (d * d + d), 2 * d * f + d + f, 2 * d
    encoder = 6 * (attention + feed_forward + 2 * norm)
    decoder = 6 * (2 * attention + feed_forward + 3 * norm)
    expected = encoder + decoder + v * d + v
    with keras.StatelessScope(initialize_variables=False):  # allocates no weights
        model = zoo.build("transformer_base", vocabulary_size=v)
    assert model.count_params() == expected


def test_sutskevers_lstms_count_as_the_paper_does():
    """Section 3.4: 64 M recurrent parameters, 32 M an LSTM; biases come on top."""
    with keras.StatelessScope(initialize_variables=False):  # allocates no weights
        model = zoo.build("sutskever_2014", **SMALL)
    kernels = [w for layer in (*model.encoder, model.decoder) for r in layer for w in r.weights]
    assert sum(np.prod(w.shape) for w in kernels if len(w.shape) == 2) == 64_000_000


def test_options_take_the_place_of_a_presets():
    model = zoo.build("rnn_tiny", **SMALL, cell="lstm", num_layers=2, name="mine")
    assert model.name == "mine"
    assert "cell_1" in model.encode([[5, 3]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"cell": "rnn"},
            "`cell` must be one of ('lstm', 'gru', 'gru_reset_before'). Received: cell='rnn'",
        ),
        ({"attention": "luong"}, "`attention` must be one of"),
        ({"attention": "dot", "encoder_dim": 8}, "`encoder_dim` must be hidden_dim=256"),
        ({"encoder_dim": 7}, "`encoder_dim` must be even"),
        ({"num_layers": 0}, "`num_layers` must be a positive int or a pair"),
        ({"num_layers": (1, 2, 3)}, "Received: num_layers=(1, 2, 3)"),
        ({"dropout": 1.0}, "`dropout` must be a number in [0, 1)"),
        ({"hidden_dim": 1.5}, "`hidden_dim` must be a positive int"),
        ({"end_id": 20}, "`end_id` must be an int in [0, vocabulary_size=20)"),
        ({"end_id": 0}, "`pad_id` must be another id than end_id=0. Received: pad_id=0"),
        ({"vocabulary_size": -1}, "`vocabulary_size` must be a positive int"),
        ({"source_vocabulary_size": 2.0}, "`source_vocabulary_size` must be a positive int"),
        ({"source_vocabulary_size": 30}, "must be vocabulary_size=20 with embeddings='shared'"),
        ({"embeddings": "tied"}, "`embeddings` must be one of ('separate', 'shared_target', 'sh"),
        ({"read_out": None}, "`read_out` must be 'tanh' or 'maxout' with query='current'"),
        ({"read_out": None, "attention": None}, "(192) differs from that of the output projection"),
        ({"read_out_dim": 64}, "input (64). Received: embeddings='shared'"),
        ({"read_out_dim": 64, "read_out": None, "attention": None}, "`read_out_dim` must be None"),
        ({"bidirectional": "last"}, "`bidirectional` must be True, False or 'first'"),
        (
            {"bridge": "copy", "encoder_dim": 8},
            "if the size of an encoder layer (8) is not hidden_",
        ),
        ({"bridge": "zeros", "attention": None}, "only the bridge reads the source. Received: bri"),
        ({"bridge": "backward", "bidirectional": False}, "if an encoder layer reads forward on"),
        ({"bridge": "tanh"}, "`bridge` must be one of ('dense', 'backward', 'copy', 'zeros')"),
        ({"query": "top"}, "`query` must be one of ('previous', 'current', 'bottom')"),
        ({"query": "current", "attention": None}, "`query` must be None with attention=None"),
        ({"input_feeding": True, "query": "bottom"}, "`input_feeding` must be False unless que"),
        ({"input_feeding": 1}, "`input_feeding` must be True or False"),
        ({"scale_embeddings": None}, "`scale_embeddings` must be True or False"),
        ({"residual_start": 1}, "`residual_start` must be None or an integer of 2 or more"),
        (
            {"residual_start": 2, "bidirectional": "first", "num_layers": 2},
            "the encoder's layers have sizes [512, 256]. Received: residual_start=2",
        ),
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
        ({"feed_forward_dim": 0}, "`feed_forward_dim` must be a positive int"),
        ({"dropout": "0.1"}, "`dropout` must be a number"),
        ({"num_key_heads": 3}, "`num_key_heads` must be a divisor of num_heads=4"),
        ({"activation": "tanh"}, "`activation` must be one of ('relu', 'gelu', 'swiglu')"),
        ({"norm": "batch"}, "`norm` must be one of ('layer', 'rms'). Received: norm='batch'"),
        ({"norm_first": "yes"}, "`norm_first` must be True or False"),
        ({"positions": "alibi"}, "`positions` must be one of ('sinusoidal', 'learned', 'relative"),
        (
            {"positions": "learned"},
            "`max_positions` must be a positive int with positions='learned'. Received: max_",
        ),
        ({"max_positions": 64}, "`max_positions` must be None with positions='sinusoidal'"),
        ({"positions": "rotary", "model_dim": 20}, "must be a multiple of 8 (2 * num_heads) with"),
        ({"decoder": "rnn"}, "`decoder` must be one of ('attention', 'ssru')"),
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


def test_more_tokens_than_learned_positions_are_named():
    model = zoo.build("transformer_tiny", **SMALL, positions="learned", max_positions=4)
    ids = {"source": np.full((1, 5), 6), "target": np.full((1, 3), 6)}
    with pytest.raises(ValueError, match="`max_positions` must be at least the 5 tokens"):
        model(ids)
