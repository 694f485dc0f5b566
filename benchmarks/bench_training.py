"""Compare training on two threads with PyTorch and OpenNMT-tf, and measure the input pipeline.

    make benchmark                          # all benchmarks
    python benchmarks/bench_training.py     # this one
    python benchmarks/bench_training.py --opennmt-python onmt-venv/bin/python

The first table trains `transformer_small`, `rnn_small` and the same shapes in PyTorch: 8,000 tokens,
batches of 64 x (32 + 32), Adam, label smoothing. Each system has its own process, and they run one
step alternately. "malloc" is PyTorch with malloc settings that keep its memory between steps. With
the flag, OpenNMT-tf's recurrent model is added; it runs under the Python of an environment that
contains it (`opennmt_peer.py`).

The second table reads the batches of the translation recipe without training, and trains the tiny
presets on the same batches. `bench_cost.py` measures the cost by length and depth.
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
# Name to compute dtype and other settings.
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
# By default glibc returns large blocks to the system at once, and the next step faults their pages
# in again.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument(
        "--opennmt-python", metavar="PATH", help="Python of an environment with OpenNMT-tf"
    )
    options = parser.parse_args()
    console = Console(width=120)
    console.print(peer_table(options.turns, options.opennmt_python))
    console.print(pipeline_table(options.turns))


def peer_table(turns, opennmt_python=None):
    """Return the table of training tokens per second, source and target, of every system."""
    table = Table(title="Training: median of all turns")
    for column in ("family", "parameters", "system", "tokens/s", "relative to PyTorch"):
        table.add_column(column, justify="left" if column in ("family", "system") else "right")
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
    """Start a system in its own process, with its own threads. It waits for requests."""
    dtype, settings = CONTENDERS[name]
    if not name.startswith("PyTorch"):
        return worker(family, dtype, **settings)
    # A script, not a fork or spawn: PyTorch's bfloat16 crashes in a process that loaded TensorFlow.
    peer = [sys.executable, FOLDER / "torch_peer.py", family, dtype, *SIZES]
    return script(peer, MALLOC if settings.get("malloc") else {})


@contextlib.contextmanager
def worker(family, dtype, **settings):
    """Run a preset in a process. Yields a function that requests its size, then step times."""
    connection, other = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=work, args=(other, family, dtype), kwargs=settings, daemon=True
    )
    process.start()
    other.close()  # otherwise `recv` would wait for a process that has ended

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
    """As `worker`, for a script that answers each input line with an output line."""
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
    """Answer with the number of parameters, then with the seconds of a step per request."""
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
    """Return source, target and expected ids."""
    rng = np.random.default_rng(0)
    return rng.integers(4, VOCABULARY_SIZE, (3, batch, length)).astype(np.int32)


def preset_step(family, dtype, jit_compile=False, **options):
    """Return the number of parameters and a training step of the preset with `options`."""
    keras.config.set_dtype_policy(dtype)
    options = {"vocabulary_size": VOCABULARY_SIZE, "dropout": DROPOUT, **options}
    model = zoo.build(PRESETS[family], **options)
    return model.count_params(), keras_step(model, jit_compile)


def keras_step(model, jit_compile=False):
    """Return the training step of `fit` as a function of ids."""
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
    """Run one step and return its logs."""
    # With autotune, the end of an iterator can wait until 0.63 s after its start.
    options = tf.data.Options()
    options.autotune.enabled = False
    return model.train_function(iter(tf.data.Dataset.from_tensors(batch).with_options(options)))


def pipeline_table(turns):
    """Return the table of tokens per second of the pipeline alone, and of training."""
    table = Table(title="Input pipeline of recipes/translate.py, without padding")
    for column in ("measured", "tokens/s", "relative to training the Transformer"):
        table.add_column(column, justify="left" if column == "measured" else "right")
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
    """Measure tokens per second over one epoch."""
    tokens, start = 0, time.perf_counter()
    for batch in dataset.as_numpy_iterator():
        tokens += num_tokens(batch)
    return tokens / (time.perf_counter() - start)


def training_rate(model, dataset, num_steps):
    """Measure tokens per second over `num_steps` batches, after ten batches of warm-up."""
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
    """Count source and target tokens without padding."""
    inputs, following, _ = batch
    return np.count_nonzero(inputs["source"]) + np.count_nonzero(following)


if __name__ == "__main__":
    main()
