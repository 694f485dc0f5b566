"""Compare trainings that differ in one setting.

    python benchmarks/tries.py translate [--data DIR] [--preset rnn_tiny] [--epochs 6] [try ...]

The default data is that of the package. DIR contains `train.tsv.gz`, `valid.tsv.gz` and
`test*.tsv.gz`, as `fetch` builds them. A try changes the named setting and keeps the recipe's
defaults, except that epochs are not scored: the minimum held-out loss chooses the best epoch. Each try
runs on one core, as many at once as there are cores. Finished tries are read, and stopped ones are
resumed. Scores are those of Keras with the recipe's search.
"""

import argparse
import json
import os
import queue
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras

from seq2lite.recipes import pronounce, summarize, translate
from seq2lite.recipes.run.command_line import parse_config
from seq2lite.recipes.run.folder import differing_options
from seq2lite.recipes.run.model_options import training_of
from seq2lite.zoo.presets import PRESETS

RECIPES = {"translate": translate, "summarize": summarize, "pronounce": pronounce}
TRIES = {
    "none": "",
    "dropout 0": "--dropout 0",
    "dropout 0.2": "--dropout 0.2",
    "dropout 0.3": "--dropout 0.3",
    "half the learning rate": "--learning-rate {half}",
    "twice the learning rate": "--learning-rate {twice}",
    "inverse square root": "--schedule inverse_square_root",
    "inverse square root, average of weights 0.999": "--schedule inverse_square_root --ema 0.999",
    "average of weights 0.999": "--ema 0.999",
    "no label smoothing": "--label-smoothing 0",
    "batches half as large": "--batch-tokens {half_batch}",
    "batches twice as large": "--batch-tokens {twice_batch}",
}
SUBWORDS = {
    "half as many subwords": "--vocabulary-size {half_subwords}",
    "twice as many subwords": "--vocabulary-size {twice_subwords}",
    "sampled segmentations, alpha 0.3": "--alpha 0.3",
}
FAMILIES = {
    "transformer": {
        "4 + 4 layers": "--architecture num_layers=4",
        "6 + 2 layers": "--architecture num_layers=[6,2]",
        "three embedding tables": "--architecture embeddings=separate",
        "relative positions": "--architecture positions=relative",
        "rotary positions": "--architecture positions=rotary",
    },
    "rnn_seq2seq": {
        "2 layers": "--architecture num_layers=2",
        "LSTM": "--architecture cell=lstm",
        "additive attention": "--architecture attention=additive",
        "no attention": "--architecture attention=null",
        "three embedding tables": "--architecture embeddings=separate",
        "hidden states of 384": "--architecture hidden_dim=384",
    },
}


def tries(recipe, preset):
    """Return the flags of each try of a recipe with a preset, by name."""
    config = RECIPES[recipe].Config(preset=preset)
    rate, batch = training_of(config).learning_rate, config.training.batch_tokens
    sizes = {
        "half": rate / 2,
        "twice": 2 * rate,
        "half_batch": batch // 2,
        "twice_batch": 2 * batch,
    }
    found = TRIES | FAMILIES[PRESETS[preset]["builder"]]
    if size := getattr(config, "vocabulary_size", None):
        sizes |= {"half_subwords": size // 2, "twice_subwords": 2 * size}
        found |= SUBWORDS
    return {name: flags.format(**sizes) for name, flags in found.items()}


def main():
    options = parse()
    cores = queue.SimpleQueue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)
    with ThreadPoolExecutor(cores.qsize()) as pool:
        ended = [pool.submit(run, name, options, cores) for name in options.tries]
        for i, name in enumerate(options.tries):
            try:
                measured, tests = ended[i].result()
            except subprocess.CalledProcessError as error:
                pool.shutdown(wait=False, cancel_futures=True)
                sys.exit(f"error: {name!r} failed: {error}. Its log is beside its folder")
            if i == 0:
                scored = [f"{test}: {', '.join(scores)}" for test, scores in tests]
                print("|", *(f"| {c}" for c in ("parameters", "minutes", "held-out loss", *scored)))
                print("|---|---|---|---|" + "---|" * len(tests))
            scores = [", ".join(f"{v:.2f}" for v in scores.values()) for _, scores in tests]
            print(f"| {' | '.join([name, *measured, *scores])} |", flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=list(RECIPES))
    parser.add_argument(
        "--data", type=Path, help="folder of data (default: the data of the package)"
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), help="default: that of the recipe")
    parser.add_argument("--epochs", default="2")
    parser.add_argument("--output", type=Path, default=Path("runs/tries"))
    parser.add_argument("tries", nargs="*", help="default: all")
    options = parser.parse_intermixed_args()
    options.preset = options.preset or RECIPES[options.recipe].Config().preset
    options.all_tries = tries(options.recipe, options.preset)
    options.tries = options.tries or list(options.all_tries)
    if unknown := [name for name in options.tries if name not in options.all_tries]:
        parser.error(f"tries must be of {', '.join(options.all_tries)}. Received: {unknown}")
    if options.data and not (options.data / "train.tsv.gz").is_file():
        parser.error(f"data must be a folder with train.tsv.gz. Received: {options.data}")
    for name in options.tries:
        folder, flags = folder_of(name, options), flags_of(name, options)
        config = parse_config(None, RECIPES[options.recipe].Config, flags)
        if folder.exists() and (names := differing_options(config, config.inputs)):
            parser.error(f"{folder} has a different {', '.join(names)}. Give another --output")
    return options


def folder_of(name, options):
    data = options.data.resolve().name if options.data else "package"
    what = f"{options.recipe}-{data}-{options.preset}-{options.epochs}-epochs"
    return options.output / what / re.sub(r"\W+", "-", name)


def flags_of(name, options):
    flags = ["--preset", options.preset, "--epochs", options.epochs, "--quantizations"]
    flags += ["--score-pairs", "0", "--output", folder_of(name, options)]
    if options.data:
        flags += ["--train", options.data / "train.tsv.gz"]
        flags += ["--valid", options.data / "valid.tsv.gz"]
        flags += ["--test", *sorted(options.data.glob("test*.tsv.gz"))]
    return [*map(str, flags), *options.all_tries[name].split()]


def run(name, options, cores):
    """Train, unless the run is finished, and return its results."""
    folder = folder_of(name, options)
    if not (folder / "scores.json").exists():
        core = cores.get()
        command = ["taskset", "-c", str(core), sys.executable, "-m"]
        command += [f"seq2lite.recipes.{options.recipe}", *flags_of(name, options)]
        folder.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{folder}.log", "a") as log:
            done = subprocess.run(command, stdout=log, stderr=log)
        cores.put(core)
        done.check_returncode()
    history = json.loads((folder / "history.json").read_text("utf-8"))
    scores = json.loads((folder / "scores.json").read_text("utf-8"))
    parameters = keras.saving.load_model(folder / "model.keras").count_params()
    minutes = sum(r["seconds"] for r in history) / 60
    loss = min(r["val_loss"] for r in history)
    measured = [f"{parameters:,}", f"{minutes:.1f}", f"{loss:.3f}"]
    return measured, [(Path(test).name.split(".")[0], by["Keras"]) for test, by in scores.items()]


if __name__ == "__main__":
    main()
