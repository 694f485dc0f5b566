"""What pays at this size: trainings that differ in one thing, in scores and in time.

    python benchmarks/tries.py DATA [--preset transformer_tiny] [--epochs 2] [--output runs/tries] [try …]

DATA is a folder with `train.tsv.gz`, `valid.tsv.gz` and `test*.tsv.gz`, such as `fetch` builds. Each try
has a core of its own, and as many run at once as there are cores; those that were finished are only read,
and the same command goes on with one that was stopped. Scores are those of Keras, by the recipe's search.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras

from seq2lite.recipes import translate
from seq2lite.zoo.presets import PRESETS

FLAGS = {"vocabulary-size": 8000, "batch-tokens": 2048, "learning-rate": 1.5e-3}
FLAGS |= {"warmup-steps": 400, "score-pairs": 500}

# Name → options of the builder, flags of the recipe.
TRANSFORMER = {
    "4 + 4 layers": ({"num_layers": 4}, {}),
    "6 + 2 layers": ({"num_layers": (6, 2)}, {}),
    "three tables of embeddings": ({"embeddings": "separate"}, {}),
}
RNN = {
    "2 layers": ({"num_layers": 2}, {}),
    "LSTM": ({"cell": "lstm"}, {}),
    "additive attention": ({"attention": "additive"}, {}),
    "no attention": ({"attention": None}, {}),
}
TRIES = {
    "as it is": ({}, {}),
    "4,000 pieces": ({}, {"vocabulary-size": 4000}),
    "16,000 pieces": ({}, {"vocabulary-size": 16000}),
    "dropout 0": ({}, {"dropout": 0.0}),
    "dropout 0.2": ({}, {"dropout": 0.2}),
    "learning rate 0.75e-3": ({}, {"learning-rate": 0.75e-3}),
    "learning rate 3e-3": ({}, {"learning-rate": 3e-3}),
    "inverse square root": ({}, {"schedule": "inverse_square_root"}),
    "inverse square root, average of weights 0.999": (
        {},
        {"schedule": "inverse_square_root", "ema": 0.999},
    ),
    "average of weights 0.999": ({}, {"ema": 0.999}),
    "no label smoothing": ({}, {"label-smoothing": 0.0}),
    "sampled segmentations, alpha 0.3": ({}, {"alpha": 0.3}),
    "batches of 1,024 tokens": ({}, {"batch-tokens": 1024}),
    "batches of 4,096 tokens": ({}, {"batch-tokens": 4096}),
}


def tries(preset):
    """All that can be tried of a preset."""
    return TRIES | (TRANSFORMER if PRESETS[preset]["builder"] == "transformer" else RNN)


def main():
    if sys.argv[1:2] == ["--one"]:
        return train_one(*sys.argv[2:5], sys.argv[5:])
    options = parse()
    cores = queue.SimpleQueue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)
    names = options.tries or list(tries(options.preset))
    with ThreadPoolExecutor(cores.qsize()) as pool:
        ended = [pool.submit(run, name, options, cores) for name in names]
        for i, name in enumerate(names):
            rows = ended[i].result()
            if i == 0:
                print(
                    "| | parameters | minutes | held-out loss |", *(f" {t} |" for t, _ in rows[1])
                )
                print("|---|---|---|---|" + "---|" * len(rows[1]))
            scores = " | ".join(f"{s['BLEU']:.2f}, {s['chrF']:.2f}" for _, s in rows[1])
            print(f"| {name} | {' | '.join(rows[0])} | {scores} |", flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--preset", default="transformer_tiny", choices=sorted(PRESETS))
    parser.add_argument("--epochs", default="2")
    parser.add_argument("--output", type=Path, default=Path("runs/tries"))
    parser.add_argument("tries", nargs="*", help="default: all of them")
    return parser.parse_args()


def run(name, options, cores):
    """Trains, unless that was done; what came out of it."""
    folder = options.output / options.preset / name.replace(" ", "-").replace(",", "")
    if not (folder / "done").exists():
        core = cores.get()
        tests = sorted(options.data.glob("test*.tsv.gz"))
        command = [sys.executable, __file__, "--one", options.preset, name, options.epochs]
        command += ["--train", options.data / "train.tsv.gz", "--valid"]
        command += [
            options.data / "valid.tsv.gz",
            "--test",
            *tests,
            "--quantizations",
            "--output",
            folder,
        ]
        folder.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{folder}.log", "a") as log:
            code = subprocess.run(
                ["taskset", "-c", str(core), *map(str, command)], stdout=log, stderr=log
            ).returncode
        cores.put(core)
        if code:
            sys.exit(f"error: {name} has failed: see {folder}.log")
    history = json.loads((folder / "history.json").read_text("utf-8"))
    scores = json.loads((folder / "scores.json").read_text("utf-8"))
    parameters = keras.saving.load_model(folder / "model.keras").count_params()
    minutes = sum(r["seconds"] for r in history) / 60
    loss = min(r["val_loss"] for r in history)
    measured = [f"{parameters:,}", f"{minutes:.1f}", f"{loss:.3f}"]
    return measured, [(Path(test).name.split(".")[0], by["Keras"]) for test, by in scores.items()]


def train_one(preset, name, epochs, flags):
    """A training, in a process of its own."""
    options, changed = tries(preset)[name]
    PRESETS[preset] |= options
    for flag, value in {**FLAGS, "epochs": epochs, **changed}.items():
        flags = [*flags, f"--{flag}", str(value)]
    translate.main(flags)


if __name__ == "__main__":
    main()
