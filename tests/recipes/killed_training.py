"""A small training with everything that has a state, for tests that kill it."""

import json
from pathlib import Path

import keras
import numpy as np

from seq2lite import export, zoo
from seq2lite.recipes.batches import Batches
from seq2lite.recipes.decoding import Decoder, Score, Search
from seq2lite.recipes.pairs import VSCODE_VALID, read_pairs
from seq2lite.recipes.scores import translation_scores
from seq2lite.recipes.training import Training, fit

TRAINING = Training(
    epochs=3,
    batch_tokens=128,
    checkpoint_steps=7,  # no divisor of the epoch's: rounds begin within epochs
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
MODELS = {
    "transformer": {"num_layers": 1, "model_dim": 32, "num_heads": 2, "feed_forward_dim": 64},
    "rnn_seq2seq": {"cell": "lstm", "num_layers": 1, "embedding_dim": 16, "hidden_dim": 24},
}


def run(family, folder, tokenizer_bytes):
    """Trains in `folder`, and leaves weights and history in `result.npz`."""
    tokenizer = export.Tokenizer(tokenizer_bytes)
    pairs = read_pairs(VSCODE_VALID)
    keras.utils.set_random_seed(TRAINING.seed)
    model = getattr(zoo, family)(dropout=0.2, **MODELS[family], **tokenizer.vocabulary)
    options = {"max_length": 32, "batch_tokens": TRAINING.batch_tokens}
    train = Batches(pairs[40:120], tokenizer, seed=TRAINING.seed, alpha=TRAINING.alpha, **options)
    valid = Batches(pairs[:12], tokenizer, **options)
    decode = Decoder(tokenizer, Search(num_beams=2), (32, 8))
    score = Score("chrF", translation_scores, decode, pairs[:4])
    model, history = fit(model, train, valid, TRAINING, Path(folder), score)
    history = [{k: v for k, v in h.items() if k != "seconds"} for h in history]
    with (Path(folder) / "result.npz").open("wb") as file:
        np.savez(file, *model.get_weights(), history=json.dumps(history))
