"""Compare the Dropout of `zoo` with that of Keras: the layer, and a step of `transformer_small`.

    python benchmarks/bench_dropout.py

The layer runs forward and backward on 2,048 x 1,024 elements, as in a feed-forward layer of
`bench_training.py`. The step trains on one batch of `bench_training.py`. The rate is 0.1, and both
layers run alternately.
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
    for column in ("measured", "dtype", "Keras, ms", "seq2lite, ms", "speed-up"):
        table.add_column(column, justify="left" if column in ("measured", "dtype") else "right")
    for dtype in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(dtype)
        for measured, make_call in (("layer", layer_call), ("training step", step_call)):
            calls = [make_call(keras.layers.Dropout), make_call(Dropout)]
            seconds = [[], []]
            for turn in range(options.turns + 2):
                for times, call in zip(seconds, calls, strict=True):
                    start = time.perf_counter()
                    call()
                    times += [time.perf_counter() - start] if turn >= 2 else []
            theirs, ours = (1000 * statistics.median(times) for times in seconds)
            table.add_row(
                measured, dtype, f"{theirs:,.1f}", f"{ours:,.1f}", f"{theirs / ours:.2f}x"
            )
    Console(width=100).print(table)


def layer_call(kind):
    """Return a function that runs a layer of class `kind` forward and backward."""
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
    """Return a training step of `transformer_small` with dropout layers of class `kind`."""
    with (
        mock.patch("seq2lite.zoo.transformer.model.Dropout", kind),
        mock.patch("seq2lite.zoo.transformer.layers.Dropout", kind),
    ):
        _, step = preset_step("Transformer", keras.config.dtype_policy().name, dropout=RATE)
    ids = random_ids(BATCH, LENGTH)
    return lambda: step(*ids)


if __name__ == "__main__":
    main()
