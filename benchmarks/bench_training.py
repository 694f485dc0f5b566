"""Training on two threads: both families beside PyTorch, and the input pipeline by itself.

    make benchmark                          # all of benchmarks/
    python benchmarks/bench_training.py     # this one

The first table trains `transformer_small` and `rnn_small` and the same shapes in PyTorch (8,000
tokens, batches of 64 x (32 + 32)), float32, Adam, label smoothing; each in a process of its own, a
step in turns. The second reads the
batches of the translation recipe with nothing behind them, and trains the recipe's tiny presets on
the same batches.
"""

import argparse
import contextlib
import multiprocessing
import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from seq2lite import zoo
from seq2lite.recipes import translate
from seq2lite.recipes.pairs import read_pairs
from seq2lite.recipes.text import batches
from seq2lite.recipes.training import SmoothedCrossentropy

VOCABULARY_SIZE, BATCH, LENGTH, DROPOUT = 8000, 64, 32, 0.1
PRESETS = {"Transformer": "transformer_small", "RNN Seq2Seq": "rnn_small"}
CONTENDERS = ("PyTorch", "seq2lite", "seq2lite, XLA")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=8)
    options = parser.parse_args()
    console = Console(width=120)
    console.print(peer_table(options.turns))
    console.print(pipeline_table(options.turns))


def peer_table(turns):
    """Training tokens a second, source and target, of both families and of PyTorch's."""
    table = Table(title="Training: median of all turns")
    for column in ("family", "parameters", "in", "tokens/s", "of PyTorch"):
        table.add_column(column, justify="left" if column in ("family", "in") else "right")
    for family in PRESETS:
        with contextlib.ExitStack() as stack:
            workers = {name: stack.enter_context(worker(family, name)) for name in CONTENDERS}
            sizes = {name: ask(connection) for name, connection in workers.items()}
            times = {name: [] for name in workers}
            for _ in range(turns):
                for name, connection in workers.items():
                    times[name].append(ask(connection))
        rates = {n: 2 * BATCH * LENGTH / statistics.median(t) for n, t in times.items()}
        for name, rate in rates.items():
            ratio = f"{rate / rates['PyTorch']:.2f}x"
            table.add_row(family, f"{sizes[name]:,}", name, f"{rate:,.0f}", ratio)
        table.add_section()
    return table


@contextlib.contextmanager
def worker(family, name):
    """A contender in a process of its own, where it has its own threads; it waits to be asked."""
    connection, other = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=work, args=(other, family, name), daemon=True
    )
    process.start()
    other.close()  # so that the end of the process ends the wait for its answer
    try:
        yield connection
    finally:
        process.kill()
        process.join()


def ask(connection):
    connection.send("go")
    return connection.recv()


def work(connection, family, name):
    """Answers with the number of parameters, then each time with the seconds of a step."""
    connection.recv()
    if name == "PyTorch":
        import torch
        import torch_peer

        torch.set_num_threads(2)
        sizes = {
            "Transformer": (VOCABULARY_SIZE, 256, 4, 4, 1024, DROPOUT),
            "RNN Seq2Seq": (VOCABULARY_SIZE, 256, 512, 2, DROPOUT),
        }
        peers = {"Transformer": torch_peer.Transformer, "RNN Seq2Seq": torch_peer.RNNSeq2Seq}
        module = peers[family](*sizes[family])
        num_parameters = sum(parameter.numel() for parameter in module.parameters())
        step = torch_peer.training_step(module)
    else:
        model = zoo.build(PRESETS[family], vocabulary_size=VOCABULARY_SIZE, dropout=DROPOUT)
        num_parameters = model.count_params()
        step = keras_step(model, jit_compile=name.endswith("XLA"))
    rng = np.random.default_rng(0)
    ids = rng.integers(4, VOCABULARY_SIZE, (3, BATCH, LENGTH)).astype(np.int32)
    for _ in range(2):
        step(*ids)
    connection.send(num_parameters)
    while connection.recv():
        start = time.perf_counter()
        step(*ids)
        connection.send(time.perf_counter() - start)


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
        batch = (inputs, following, (following != 0).astype("float32"))
        logs = model.train_function(iter(tf.data.Dataset.from_tensors(batch)))
        return float(tf.nest.flatten(logs)[0])

    return step


def pipeline_table(turns):
    """Tokens a second of the recipe's pipeline alone, and of training on its batches."""
    table = Table(title="Input pipeline of recipes/translate.py, without padding")
    for column in ("what", "tokens/s", "of training the Transformer"):
        table.add_column(column, justify="left" if column == "what" else "right")
    config = translate.Config()
    pairs = read_pairs(config.train)
    data = translate.build_data(config)
    sizes = {"max_length": config.max_length, "batch_tokens": config.batch_tokens}
    start = time.perf_counter()
    fresh, _ = batches(pairs, data.tokenizer, shuffle_seed=1, **sizes)
    tokens = sum(num_tokens(batch) for batch in fresh.as_numpy_iterator())
    first = tokens / (time.perf_counter() - start)
    rates = {
        "pipeline, from text to the end of the first epoch": first,
        "pipeline, later epochs": statistics.median(pipeline_rate(data.train) for _ in range(3)),
    }
    for preset in ("transformer_tiny", "rnn_tiny"):
        model = zoo.build(preset, dropout=DROPOUT, **data.tokenizer.vocabulary)
        rates[f"training {preset}"] = training_rate(model, data.train, 5 * turns)
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
        model.train_function(iter(tf.data.Dataset.from_tensors(batch)))
    return tokens / (time.perf_counter() - start)


def num_tokens(batch):
    """Source and target tokens, without padding."""
    inputs, following, _ = batch
    return np.count_nonzero(inputs["source"]) + np.count_nonzero(following)


if __name__ == "__main__":
    main()
