"""Saved models: options of any number type, frozen layers."""

import keras
import numpy as np
import pytest

from random_models import random_ids, small_model
from seq2lite import zoo


def saved_and_loaded(model, folder):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def trainable_paths(model):
    return [variable.path for variable in model.trainable_variables]


@pytest.mark.parametrize(
    ("case", "frozen"),
    [
        ("transformer-learned-gelu", lambda m: [m.encoder_layers[0], m.source_embedding]),
        ("lstm-gnmt", lambda m: [m.encoder[0][1], m.attention]),
    ],
)
def test_frozen_layers_stay_frozen_in_a_saved_model(case, frozen, tmp_path):
    model = small_model(case)
    every = trainable_paths(model)
    for layer in frozen(model):
        layer.trainable = False
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, run_eagerly=True)  # a graph takes longer than its one step
    loaded = saved_and_loaded(model, tmp_path)
    assert 0 < len(trainable_paths(loaded)) < len(every)
    assert trainable_paths(loaded) == trainable_paths(model)
    assert not any(layer.trainable for layer in frozen(loaded))
    assert loaded.get_config() == model.get_config()

    ids = random_ids(np.random.default_rng(1), [4, 4])
    before = [layer.get_weights() for layer in frozen(loaded)]
    loaded.train_on_batch({"source": ids, "target": ids}, ids)
    for layer, weights in zip(frozen(loaded), before, strict=True):
        for weight, expected in zip(layer.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(weight, expected)

    for layer in frozen(loaded):
        layer.trainable = True
    assert trainable_paths(saved_and_loaded(loaded, tmp_path)) == every


def test_a_sub_layer_of_a_frozen_layer_can_stay_trainable(tmp_path):
    model = small_model("transformer")
    model.trainable = False
    model.trainable = True
    model.decoder_layers[1].trainable = False
    model.decoder_layers[1].cross_attention.trainable = True
    loaded = saved_and_loaded(model, tmp_path)
    assert trainable_paths(loaded) == trainable_paths(model)
    assert not loaded.decoder_layers[1].trainable
    assert loaded.decoder_layers[1].cross_attention.query.trainable


def test_a_wholly_frozen_model_stays_frozen(tmp_path):
    model = small_model("gru-None-bi")
    model.trainable = False
    loaded = saved_and_loaded(model, tmp_path)
    assert not loaded.trainable and not loaded.trainable_variables


def test_a_frozen_layer_that_the_new_model_lacks_is_an_error():
    model = small_model("gru-None-bi")
    model.source_embedding.trainable = False
    config = model.get_config()
    assert config["frozen_layers"] == [model.source_embedding.path]
    config["frozen_layers"].append("dense_7")
    with pytest.raises(ValueError, match=r"`frozen_layers` must be .* lacks dense_7: .* a `name`"):
        type(model).from_config(config)


NUMPY = {"vocabulary_size": np.int64(20), "pad_id": np.int32(0), "dropout": np.float32(0.5)}


@pytest.mark.parametrize(
    ("preset", "options"),
    [
        (
            "transformer_tiny",
            {
                "num_layers": (np.int64(1), np.int32(2)),
                "model_dim": np.int64(8),
                "positions": "learned",
                "max_positions": np.int16(9),
            },
        ),
        (
            "rnn_tiny",
            {
                "num_layers": np.int64(2),
                "hidden_dim": np.uint8(8),
                "embedding_dim": 8,
                "residual_start": np.int64(2),
            },
        ),
    ],
)
def test_options_may_be_numpy_numbers(preset, options, tmp_path):
    model = zoo.build(preset, **NUMPY, **options)
    assert saved_and_loaded(model, tmp_path).get_config() == model.get_config()


@pytest.mark.parametrize("option", ["vocabulary_size", "num_layers", "hidden_dim", "start_id"])
def test_a_bool_is_no_number(option):
    with pytest.raises(ValueError, match=f"`{option}` must be .* Received: {option}=True"):
        zoo.build("rnn_tiny", **{"vocabulary_size": 20, option: True})
