"""Training on two threads: both families beside their peers, and the input pipeline by itself.

    make benchmark                          # all of benchmarks/
    python benchmarks/bench_training.py     # this one
    python benchmarks/bench_training.py --opennmt-python onmt-venv/bin/python

The first table trains `transformer_small` and `rnn_small` and the same shapes in PyTorch (8,000
tokens, batches of 64 x (32 + 32)) with Adam and label smoothing; each in a process of its own, a
step in turns. PyTorch comes with malloc's settings too, that let it keep its memory between steps.
With the flag, OpenNMT-tf's recurrent model is beside them, run by the Python of an environment that
has it (`opennmt_peer.py`). The second reads the batches of the translation recipe with nothing
behind them, and trains the recipe's tiny presets on the same batches. What a sentence costs by
length and depth: `bench_cost.py`.
"""

import argparse
import contextlib
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from seq2lite import zoo
from seq2lite.recipes import translate
from seq2lite.recipes.data.batches import Batches
from seq2lite.recipes.training.loss import SmoothedCrossentropy

VOCABULARY_SIZE, BATCH, LENGTH, DROPOUT = 8000, 64, 32, 0.1
PRESETS = {"Transformer": "transformer_small", "RNN Seq2Seq": "rnn_small"}
# What each is called, in which dtype it computes, and its other settings.
CONTENDERS = {
    "PyTorch": ("float32", {}),
    "PyTorch, malloc": ("float32", {"malloc": True}),
    "PyTorch, bfloat16": ("bfloat16", {}),
    "PyTorch, bfloat16, malloc": ("bfloat16", {"malloc": True}),
    "seq2lite": ("float32", {}),
    "seq2lite, XLA": ("float32", {"jit_compile": True}),
    "seq2lite, bfloat16": ("mixed_bfloat16", {}),
}
OPENNMT = "OpenNMT-tf"
FOLDER = Path(__file__).parent
SIZES = [str(size) for size in (VOCABULARY_SIZE, BATCH, LENGTH, DROPOUT)]
# glibc gives large blocks back to the system at once; the next step faults their pages in again.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--opennmt-python", metavar="PATH", help="the Python that has OpenNMT-tf")
    options = parser.parse_args()
    console = Console(width=120)
    console.print(peer_table(options.turns, options.opennmt_python))
    console.print(pipeline_table(options.turns))


def peer_table(turns, opennmt_python=None):
    """Training tokens a second, source and target, of both families and of their peers."""
    table = Table(title="Training: median of all turns")
    for column in ("family", "parameters", "in", "tokens/s", "of PyTorch"):
        table.add_column(column, justify="left" if column in ("family", "in") else "right")
    for family in PRESETS:
        with contextlib.ExitStack() as stack:
            asks = {name: stack.enter_context(contender(family, name)) for name in CONTENDERS}
            if opennmt_python and family == "RNN Seq2Seq":
                peer = [opennmt_python, FOLDER / "opennmt_peer.py", *SIZES]
                asks[OPENNMT] = stack.enter_context(script(peer))
            sizes = {name: ask() for name, ask in asks.items()}
            times = {name: [] for name in asks}
            for _ in range(turns):
                for name, ask in asks.items():
                    times[name].append(ask())
        rates = {n: 2 * BATCH * LENGTH / statistics.median(t) for n, t in times.items()}
        for name, rate in rates.items():
            ratio = f"{rate / rates['PyTorch']:.2f}x"
            table.add_row(family, f"{sizes[name]:,.0f}", name, f"{rate:,.0f}", ratio)
        table.add_section()
    return table


def contender(family, name):
    """A contender in a process of its own, where it has its own threads; it waits to be asked."""
    dtype, settings = CONTENDERS[name]
    if not name.startswith("PyTorch"):
        return worker(family, dtype, **settings)
    # Not by a fork or a spawn of this process: PyTorch's bfloat16 dies beside TensorFlow's library.
    peer = [sys.executable, FOLDER / "torch_peer.py", family, dtype, *SIZES]
    return script(peer, MALLOC if settings.get("malloc") else {})


@contextlib.contextmanager
def worker(family, dtype, **settings):
    """The preset in a process; gives a function that asks it, first for its size, then for times."""
    connection, other = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=work, args=(other, family, dtype), kwargs=settings, daemon=True
    )
    process.start()
    other.close()  # so that the end of the process ends the wait for its answer

    def ask():
        connection.send("go")
        return connection.recv()

    try:
        yield ask
    finally:
        process.kill()
        process.join()


@contextlib.contextmanager
def script(command, variables=None):
    """As `worker`, by a script that answers lines with lines."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(variables or {})},
    )

    def ask():
        print(file=process.stdin, flush=True)
        return float(process.stdout.readline())

    try:
        yield ask
    finally:
        process.kill()
        process.wait()


def work(connection, family, dtype, jit_compile=False):
    """Answers with the number of parameters, then each time with the seconds of a step."""
    connection.recv()
    num_parameters, step = preset_step(family, dtype, jit_compile)
    ids = random_ids(BATCH, LENGTH)
    for _ in range(2):
        step(*ids)
    connection.send(num_parameters)
    while connection.recv():
        start = time.perf_counter()
        step(*ids)
        connection.send(time.perf_counter() - start)


def random_ids(batch, length):
    """Source, target, following."""
    rng = np.random.default_rng(0)
    return rng.integers(4, VOCABULARY_SIZE, (3, batch, length)).astype(np.int32)


def preset_step(family, dtype, jit_compile=False, **options):
    """The number of parameters, and a step of the preset with `options`."""
    keras.config.set_dtype_policy(dtype)
    options = {"vocabulary_size": VOCABULARY_SIZE, "dropout": DROPOUT, **options}
    model = zoo.build(PRESETS[family], **options)
    return model.count_params(), keras_step(model, jit_compile)


def keras_step(model, jit_compile=False):
    """The step that `fit` takes, on given ids."""
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3, beta_2=0.98, global_clipnorm=1.0),
        loss=SmoothedCrossentropy(0.1),
        jit_compile=jit_compile,
    )
    model.make_train_function()

    def step(source, target, following):
        inputs = {"source": source, "target": target}
        logs = train_on(model, (inputs, following, (following != 0).astype("float32")))
        return float(tf.nest.flatten(logs)[0])

    return step


def train_on(model, batch):
    """One step; what `fit` logs of it."""
    # With autotune, an iterator's end can wait until 0.63 s have passed since its beginning.
    options = tf.data.Options()
    options.autotune.enabled = False
    return model.train_function(iter(tf.data.Dataset.from_tensors(batch).with_options(options)))


def pipeline_table(turns):
    """Tokens a second of the recipe's pipeline alone, and of training on its batches."""
    table = Table(title="Input pipeline of recipes/translate.py, without padding")
    for column in ("what", "tokens/s", "of training the Transformer"):
        table.add_column(column, justify="left" if column == "what" else "right")
    config = translate.Config()
    data = translate.build_data(config)
    start = time.perf_counter()
    fresh = Batches(
        data.train.pairs,
        data.tokenizer,
        max_length=config.max_length,
        batch_tokens=config.training.batch_tokens,
    )
    tokens = sum(num_tokens(batch) for batch in fresh.dataset().as_numpy_iterator())
    first = tokens / (time.perf_counter() - start)
    rates = {
        "pipeline, from text to the end of the first epoch": first,
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
    """Tokens a second over one epoch."""
    tokens, start = 0, time.perf_counter()
    for batch in dataset.as_numpy_iterator():
        tokens += num_tokens(batch)
    return tokens / (time.perf_counter() - start)


def training_rate(model, dataset, num_steps):
    """Tokens a second over `num_steps` batches, after ten to warm up."""
    keras_step(model)  # compiles
    remaining, tokens, start = iter(dataset.repeat()), 0, 0
    for step in range(num_steps + 10):
        if step == 10:
            tokens, start = 0, time.perf_counter()
        batch = next(remaining)
        tokens += num_tokens([tf.nest.map_structure(lambda x: x.numpy(), part) for part in batch])
        train_on(model, batch)
    return tokens / (time.perf_counter() - start)


def num_tokens(batch):
    """Source and target tokens, without padding."""
    inputs, following, _ = batch
    return np.count_nonzero(inputs["source"]) + np.count_nonzero(following)


if __name__ == "__main__":
    main()
