"""Training speed on two threads, relative to PyTorch and OpenNMT-tf, and speed of the input pipeline.

    make benchmark                          # all benchmarks
    python benchmarks/bench_training.py     # only this one
    python benchmarks/bench_training.py --opennmt-python onmt-venv/bin/python

The first table trains `transformer_small`, `rnn_small` and models of the same shapes in PyTorch.
Conditions: vocabulary of 8,000 tokens, batches of 64 x (32 + 32) tokens, Adam, label smoothing.
Each system runs in its own process, one step per turn. "malloc" is PyTorch with malloc settings
that keep its memory from step to step. `--opennmt-python` adds the recurrent model of OpenNMT-tf,
run by a Python environment that contains it (`opennmt_peer.py`).

The second table reads the batches of the translation recipe without training, and trains the tiny
presets on the same batches. `bench_cost.py` measures the time per sentence by length and depth.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from seq2lite import zoo
from seq2lite.recipes import translate
from seq2lite.recipes.data.batches import Batches
from seq2lite.recipes.data.load import load_data
from seq2lite.recipes.training.loss import SmoothedCrossentropy
from timing import serve_steps

VOCABULARY_SIZE, BATCH, LENGTH, DROPOUT = 8000, 64, 32, 0.1
PRESETS = {"Transformer": "transformer_small", "RNN Seq2Seq": "rnn_small"}
FOLDER = Path(__file__).parent
SIZES = [str(size) for size in (VOCABULARY_SIZE, BATCH, LENGTH, DROPOUT)]
# By default, glibc returns large blocks to the system at once. The next step then has to fault
# their pages in again.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=8, help="steps of each system (default: 8)")
    parser.add_argument("--opennmt-python", metavar="PATH", help="a Python that has OpenNMT-tf")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)  # family, dtype policy, XLA
    options = parser.parse_args()
    if options.serve:
        family, policy, jit_compile = options.serve
        num_parameters, step = preset_step(family, policy, jit_compile == "xla")
        return serve_steps(num_parameters, partial(step, *random_ids(BATCH, LENGTH)))
    console = Console(width=120)
    console.print(system_table(options.turns, options.opennmt_python))
    console.print(pipeline_table(options.turns))


def system_table(turns, opennmt_python=None):
    """Return source and target tokens/s of both families and of the peers, in training."""
    table = Table(title=f"Training, median of {turns} turns")
    for column in ("family", "parameters", "system", "tokens/s", "relative to PyTorch"):
        table.add_column(column, justify="left" if column in ("family", "system") else "right")
    for family in PRESETS:
        with contextlib.ExitStack() as stack:
            requests = {
                name: stack.enter_context(running(*command))
                for name, command in commands(family, opennmt_python).items()
            }
            sizes = {name: request() for name, request in requests.items()}
            times = {name: [] for name in requests}
            for _ in range(turns):
                for name, request in requests.items():
                    times[name].append(request())
        rates = {n: 2 * BATCH * LENGTH / statistics.median(t) for n, t in times.items()}
        for name, rate in rates.items():
            ratio = f"{rate / rates['PyTorch']:.2f}x"
            table.add_row(family, f"{sizes[name]:,.0f}", name, f"{rate:,.0f}", ratio)
        table.add_section()
    return table


def commands(family, opennmt_python):
    """Return the processes to compare: name to (command, environment variables).

    All are separate programs: each has its own threads, and PyTorch in bfloat16 crashes in a
    process that was forked or spawned from one with TensorFlow.
    """
    peer = [sys.executable, FOLDER / "torch_peer.py", family]
    ours = [sys.executable, __file__, "--serve", family]
    found = {
        "PyTorch": ([*peer, "float32", *SIZES], {}),
        "PyTorch, malloc": ([*peer, "float32", *SIZES], MALLOC),
        "PyTorch, bfloat16": ([*peer, "bfloat16", *SIZES], {}),
        "PyTorch, bfloat16, malloc": ([*peer, "bfloat16", *SIZES], MALLOC),
        "seq2lite": ([*ours, "float32", "no-xla"], {}),
        "seq2lite, XLA": ([*ours, "float32", "xla"], {}),
        "seq2lite, bfloat16": ([*ours, "mixed_bfloat16", "no-xla"], {}),
    }
    if opennmt_python and family == "RNN Seq2Seq":
        found["OpenNMT-tf"] = ([opennmt_python, FOLDER / "opennmt_peer.py", *SIZES], {})
    return found


@contextlib.contextmanager
def running(command, variables):
    """Start a process of `timing.serve_steps`; give the function that sends it a request."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )

    def request():
        print(file=process.stdin, flush=True)
        return float(process.stdout.readline())

    try:
        yield request
    finally:
        process.kill()
        process.wait()


def random_ids(batch, length):
    """Return random ids of the source, the decoder's input and the expected output."""
    rng = np.random.default_rng(0)
    return rng.integers(4, VOCABULARY_SIZE, (3, batch, length)).astype(np.int32)


def preset_step(family, policy, jit_compile=False, **options):
    """Return the number of parameters and a training step of the preset with `options`."""
    keras.config.set_dtype_policy(policy)
    options = {"vocabulary_size": VOCABULARY_SIZE, "dropout": DROPOUT, **options}
    model = zoo.build(PRESETS[family], **options)
    return model.count_params(), keras_step(model, jit_compile)


def keras_step(model, jit_compile=False):
    """Return a function of ids that runs one step of `fit` and waits for its loss."""
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3, beta_2=0.98, global_clipnorm=1.0),
        loss=SmoothedCrossentropy(0.1),
        jit_compile=jit_compile,
    )
    model.make_train_function()

    def step(source, target, labels):
        inputs = {"source": source, "target": target}
        logs = train_on(model, (inputs, labels, (labels != 0).astype("float32")))
        return float(tf.nest.flatten(logs)[0])

    return step


def train_on(model, batch):
    """Run one step of `fit` and return its logs."""
    # With autotune, closing an iterator can block until 0.63 s after its creation.
    options = tf.data.Options()
    options.autotune.enabled = False
    return model.train_function(iter(tf.data.Dataset.from_tensors(batch).with_options(options)))


def pipeline_table(turns):
    """Return tokens/s of the recipe's input pipeline alone, and of training on its batches."""
    table = Table(title="Input pipeline of recipes/translate.py, tokens without padding")
    for column in ("measured", "tokens/s", "relative to training transformer_tiny"):
        table.add_column(column, justify="left" if column == "measured" else "right")
    config = translate.Config()
    data = load_data(config)
    start = time.perf_counter()
    batches = Batches(
        data.train.pairs,
        data.tokenizer,
        max_length=config.data.max_lengths,
        batch_tokens=config.training.batch_tokens,
    )
    tokens = sum(num_tokens(batch) for batch in batches.dataset().as_numpy_iterator())
    first_epoch = tokens / (time.perf_counter() - start)
    rates = {
        "pipeline, from text to the end of the first epoch": first_epoch,
        "pipeline, later epochs": statistics.median(
            pipeline_rate(data.train.dataset()) for _ in range(3)
        ),
    }
    for preset in ("transformer_tiny", "rnn_tiny"):
        model = zoo.build(preset, dropout=DROPOUT, **data.tokenizer.vocabulary)
        rates[f"training {preset}"] = training_rate(model, data.train.dataset(), 5 * turns)
    for name, rate in rates.items():
        ratio = rate / rates["training transformer_tiny"]
        table.add_row(name, f"{rate:,.0f}", f"{ratio:.1f}x")
    return table


def pipeline_rate(dataset):
    """Return tokens/s of one epoch."""
    tokens, start = 0, time.perf_counter()
    for batch in dataset.as_numpy_iterator():
        tokens += num_tokens(batch)
    return tokens / (time.perf_counter() - start)


def training_rate(model, dataset, num_steps):
    """Return tokens/s of training on `num_steps` batches, after ten untimed ones."""
    keras_step(model)  # compiles
    batches, tokens, start = iter(dataset.repeat()), 0, 0
    for step in range(num_steps + 10):
        if step == 10:
            tokens, start = 0, time.perf_counter()
        batch = next(batches)
        tokens += num_tokens([tf.nest.map_structure(lambda x: x.numpy(), part) for part in batch])
        train_on(model, batch)
    return tokens / (time.perf_counter() - start)


def num_tokens(batch):
    """Return the number of source and target tokens without padding."""
    inputs, labels, _ = batch
    return np.count_nonzero(inputs["source"]) + np.count_nonzero(labels)


if __name__ == "__main__":
    main()
