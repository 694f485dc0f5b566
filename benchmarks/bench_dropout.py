"""`zoo`'s Dropout beside Keras's: both directions of the layer, and a step of `transformer_small`.

    python benchmarks/bench_dropout.py

The layer on 2,048 x 1,024 elements, as in a feed-forward layer of `bench_training.py`'s batches, and
the step that trains on one of those; each with a tenth dropped, in turns.
"""

import argparse
import statistics
import time
from unittest import mock

import keras
import tensorflow as tf
from bench_training import BATCH, LENGTH, preset_step, random_ids
from rich.console import Console
from rich.table import Table

from seq2lite.zoo.layers.dropout import Dropout

RATE, SHAPE = 0.1, (2048, 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20)
    options = parser.parse_args()
    table = Table(title=f"Dropout: medians of {options.turns} turns")
    for column in ("what", "in", "Keras, ms", "seq2lite, ms", "ratio"):
        table.add_column(column, justify="left" if column in ("what", "in") else "right")
    for dtype in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(dtype)
        for what, of in (("the layer", layer_call), ("a step", step_call)):
            calls = [of(keras.layers.Dropout), of(Dropout)]
            seconds = [[], []]
            for turn in range(options.turns + 2):
                for times, call in zip(seconds, calls, strict=True):
                    start = time.perf_counter()
                    call()
                    times += [time.perf_counter() - start] if turn >= 2 else []
            theirs, ours = (1000 * statistics.median(times) for times in seconds)
            table.add_row(what, dtype, f"{theirs:,.1f}", f"{ours:,.1f}", f"{theirs / ours:.2f}x")
    Console(width=100).print(table)


def layer_call(kind):
    """Forwards and backwards through a layer of `kind`."""
    layer = kind(RATE)
    x = tf.random.normal(SHAPE, dtype=layer.compute_dtype)

    @tf.function
    def call():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return y, tape.gradient(y, x)

    return call


def step_call(kind):
    """A step of `transformer_small` with layers of `kind`."""
    with (
        mock.patch("seq2lite.zoo.transformer.model.Dropout", kind),
        mock.patch("seq2lite.zoo.transformer.layers.Dropout", kind),
    ):
        _, step = preset_step("Transformer", keras.config.dtype_policy().name, dropout=RATE)
    ids = random_ids(BATCH, LENGTH)
    return lambda: step(*ids)


if __name__ == "__main__":
    main()
