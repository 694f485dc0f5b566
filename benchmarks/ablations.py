"""Effect of single settings of a recipe on scores and training time.

    python benchmarks/ablations.py translate [--data DIR] [--preset rnn_tiny] [--epochs 6] [CHANGE ...]

Each run changes one setting of the recipe's defaults. By default the runs train on the data of the
package. DIR contains `train.tsv.gz`, `valid.tsv.gz` and `test*.tsv.gz`, as written by
`seq2lite.recipes.fetch`. Epochs are not scored; the minimum held-out loss selects the best one. The
final scores are those of Keras with the recipe's search.

Each run has one core, and as many runs train at once as there are cores. The same command resumes
interrupted runs, and reads the results of finished ones.
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
from seq2lite.recipes.run.record import describe_run
from seq2lite.zoo.presets import PRESETS

RECIPES = {"translate": translate, "summarize": summarize, "pronounce": pronounce}
CHANGES = {
    "none": "",
    "dropout 0": "--dropout 0",
    "dropout 0.2": "--dropout 0.2",
    "dropout 0.3": "--dropout 0.3",
    "half the learning rate": "--learning-rate {half}",
    "twice the learning rate": "--learning-rate {twice}",
    "inverse square root schedule": "--schedule inverse_square_root",
    "inverse square root schedule, weight average 0.999": (
        "--schedule inverse_square_root --ema 0.999"
    ),
    "weight average 0.999": "--ema 0.999",
    "no label smoothing": "--label-smoothing 0",
    "batches half as large": "--batch-tokens {half_batch}",
    "batches twice as large": "--batch-tokens {twice_batch}",
}
SUBWORD_CHANGES = {
    "half as many subwords": "--vocabulary-size {half_subwords}",
    "twice as many subwords": "--vocabulary-size {twice_subwords}",
    "sampled segmentations, alpha 0.3": "--alpha 0.3",
}
FAMILY_CHANGES = {
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
        "hidden size 384": "--architecture hidden_dim=384",
    },
}


def changes_of(recipe, preset):
    """Return all changes of a recipe with a preset: name to flags."""
    config = RECIPES[recipe].Config.of(preset=preset)
    rate, batch = config.model.peak_learning_rate, config.training.batch_tokens
    values = {
        "half": rate / 2,
        "twice": 2 * rate,
        "half_batch": batch // 2,
        "twice_batch": 2 * batch,
    }
    changes = CHANGES | FAMILY_CHANGES[PRESETS[preset]["builder"]]
    if subwords := getattr(config.data, "vocabulary_size", None):
        values |= {"half_subwords": subwords // 2, "twice_subwords": 2 * subwords}
        changes |= SUBWORD_CHANGES
    return {name: flags.format(**values) for name, flags in changes.items()}


def main():
    options = parse_options()
    cores = queue.SimpleQueue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)
    with ThreadPoolExecutor(cores.qsize()) as pool:
        runs = [pool.submit(run, name, options, cores) for name in options.changes]
        for i, name in enumerate(options.changes):
            try:
                measured, tests = runs[i].result()
            except subprocess.CalledProcessError as error:
                pool.shutdown(wait=False, cancel_futures=True)
                sys.exit(f"error: {name!r} failed. See {folder_of(name, options)}.log: {error}")
            if i == 0:
                scored = [f"{test}: {', '.join(scores)}" for test, scores in tests]
                columns = ["change", "parameters", "time, min", "held-out loss", *scored]
                print(f"| {' | '.join(columns)} |")
                print("|---" * len(columns) + "|")
            scores = [", ".join(f"{v:.2f}" for v in scores.values()) for _, scores in tests]
            print(f"| {' | '.join([name, *measured, *scores])} |", flush=True)


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", choices=list(RECIPES))
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of the data (default: the package's)"
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), help="default: that of the recipe")
    parser.add_argument("--epochs", default="2", help="epochs per run (default: 2)")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/ablations"), help="default: runs/ablations"
    )
    parser.add_argument("changes", nargs="*", metavar="CHANGE", help="default: all changes")
    options = parser.parse_intermixed_args()
    options.preset = options.preset or RECIPES[options.recipe].Config().model.preset
    options.all_changes = changes_of(options.recipe, options.preset)
    options.changes = options.changes or list(options.all_changes)
    if unknown := [name for name in options.changes if name not in options.all_changes]:
        known = ", ".join(map(repr, options.all_changes))
        parser.error(f"a change must be one of {known}. Received: {unknown}")
    if options.data and not (options.data / "train.tsv.gz").is_file():
        parser.error(f"--data must be a folder with train.tsv.gz. Received: {options.data}")
    for name in options.changes:
        folder, flags = folder_of(name, options), flags_of(name, options)
        config = parse_config(None, RECIPES[options.recipe].Config, flags)
        if folder.exists() and (names := describe_run(config).changes):
            parser.error(
                f"{folder} must have the same {', '.join(names)} as this command. "
                f"Try another --output"
            )
    return options


def folder_of(name, options):
    data = options.data.resolve().name if options.data else "package"
    runs = f"{options.recipe}-{data}-{options.preset}-{options.epochs}-epochs"
    return options.output / runs / re.sub(r"\W+", "-", name)


def flags_of(name, options):
    flags = ["--preset", options.preset, "--epochs", options.epochs, "--quantizations"]
    flags += ["--score-pairs", "0", "--output", folder_of(name, options)]
    if options.data:
        flags += ["--train", options.data / "train.tsv.gz"]
        flags += ["--valid", options.data / "valid.tsv.gz"]
        flags += ["--test", *sorted(options.data.glob("test*.tsv.gz"))]
    return [*map(str, flags), *options.all_changes[name].split()]


def run(name, options, cores):
    """Train unless the run is finished. Return its measurements and its scores by test set."""
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
    minutes = sum(entry["seconds"] for entry in history) / 60
    loss = min(entry["val_loss"] for entry in history)
    measured = [f"{parameters:,}", f"{minutes:.1f}", f"{loss:.3f}"]
    return measured, [(Path(test).name.split(".")[0], by["Keras"]) for test, by in scores.items()]


if __name__ == "__main__":
    main()
