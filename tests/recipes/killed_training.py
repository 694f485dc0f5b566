"""A small run of a recipe that uses every kind of state, for tests that kill it."""

import json
from pathlib import Path

import keras
import numpy as np

from seq2lite.recipes import translate
from seq2lite.recipes.evaluation.decoding import Search
from seq2lite.recipes.training.options import Training
from seq2lite.zoo.presets import PRESETS

TRAINING = Training(
    epochs=3,
    batch_tokens=128,
    checkpoint_steps=7,  # does not divide an epoch: intervals begin within epochs
    warmup_steps=3,
    accumulate=2,
    ema=0.9,
    average=2,
    alpha=0.3,
    weight_decay=0.01,
    score_pairs=4,
    patience=50,
    seed=7,
    deterministic=True,
)
SIZES = {
    "transformer_tiny": {"num_layers": 1, "model_dim": 32, "num_heads": 2, "feed_forward_dim": 64},
    "rnn_tiny": {"cell": "lstm", "embedding_dim": 16, "hidden_dim": 24},
}


def run(preset, folder, data):
    """Train in `folder` on `data`, unless the run is finished."""
    PRESETS[preset] |= SIZES[preset]
    config = translate.Config.of(
        train=(str(data),),
        output=str(folder),
        preset=preset,
        dropout=0.2,
        vocabulary_size=900,
        max_length=32,
        quantizations=(),
        training=TRAINING,
        search=Search(num_beams=2),
    )
    if not (Path(folder) / "done").exists():
        translate.train(config)


def result_of(folder):
    """Return the exported weights, and the history without its times."""
    model = keras.saving.load_model(Path(folder) / "model.keras")
    history = json.loads((Path(folder) / "history.json").read_text("utf-8"))
    evaluations = [{name: v for name, v in row.items() if name != "seconds"} for row in history]
    return [np.array(json.dumps(evaluations)), *model.get_weights()]
