"""Subprocess of test_backends.py that runs or trains models under the backend of its environment.

python backend_answers.py INPUTS.npz OUTPUTS.npz MODEL.keras ...
python backend_answers.py --pad INPUTS.npz MODEL.keras ...
python backend_answers.py --train MODEL.keras PRESET VOCABULARY_SIZE
"""

import sys
from pathlib import Path

import keras
import numpy as np

from seq2lite import zoo

CONSTRAINTS = {
    "min_length": 4,
    "no_repeat_ngram": 2,
    "repetition_penalty": 1.3,
    "banned_tokens": [7, 8],
    "prefix": np.array([[9, 9], [6, 0], [0, 0]]),
}


def answer(inputs, output, *models):
    """Write the logits of each model, and the results of its searches."""
    inputs = dict(np.load(inputs))
    answers = {}
    for path in models:
        model = keras.saving.load_model(path)
        results = {"logits": model(inputs)}
        results["tokens"], results["lengths"] = zoo.greedy_search(model, inputs["source"], 20)
        results["beams"], results["beam_lengths"], results["scores"] = zoo.beam_search(
            model, inputs["source"], 20, num_hypotheses=2
        )
        constrained, _ = zoo.greedy_search(model, inputs["source"], 12, **CONSTRAINTS)
        results["constrained"] = constrained
        results["constrained_beams"], _, results["constrained_scores"] = zoo.beam_search(
            model, inputs["source"], 12, **CONSTRAINTS
        )
        name = Path(path).stem
        answers |= {f"{name}/{k}": keras.ops.convert_to_numpy(v) for k, v in results.items()}
    np.savez(output, **answers)


def pad(inputs, *models):
    """Require that more padding leaves the logits of each model unchanged."""
    inputs = dict(np.load(inputs))
    for path in models:
        model = keras.saving.load_model(path)
        logits = keras.ops.convert_to_numpy(model(inputs))
        wider = model({name: np.pad(ids, ((0, 0), (0, 9))) for name, ids in inputs.items()})
        wider = keras.ops.convert_to_numpy(wider)[:, : logits.shape[1]]
        np.testing.assert_allclose(wider, logits, atol=1e-4 * np.abs(logits).max())


def train(path, preset, vocabulary_size):
    """Train a small model to copy its source, and save it."""
    small = {"transformer_tiny": {"model_dim": 32, "feed_forward_dim": 64}, "rnn_tiny": {}}[preset]
    keras.utils.set_random_seed(1)
    model = zoo.build(preset, vocabulary_size=int(vocabulary_size), dropout=0.1, **small)
    rng = np.random.default_rng(0)
    source = rng.integers(4, model.vocabulary_size, (256, 5)).astype("int32")
    source[:, -1] = model.end_id
    target = np.concatenate([np.full((256, 1), model.start_id), source[:, :-1]], axis=1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    history = model.fit({"source": source, "target": target}, source, epochs=3, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < 0.9 * losses[0], losses
    model.save(path)


if __name__ == "__main__":
    if sys.argv[1] == "--train":
        train(*sys.argv[2:])
    elif sys.argv[1] == "--pad":
        pad(*sys.argv[2:])
    else:
        answer(*sys.argv[1:])
