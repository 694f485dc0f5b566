"""Speed of `zoo`'s Dropout relative to Keras's, for the layer alone and for a training step.

    python benchmarks/bench_dropout.py

The layer runs forward and backward on 2,048 x 1,024 elements, the size of a feed-forward layer in
the batches of `bench_training.py`. The step trains `transformer_small` on one of these batches. The
dropout rate is 0.1.
"""

import argparse
import statistics
from functools import partial
from unittest import mock

import keras
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from bench_training import BATCH, LENGTH, preset_step, random_ids
from seq2lite.zoo.layers.dropout import Dropout
from timing import alternating_times

RATE, SHAPE = 0.1, (2048, 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20, help="timed runs of each (default: 20)")
    turns = parser.parse_args().turns
    table = Table(title=f"Dropout, median of {turns} turns")
    for column in ("measured", "dtype policy", "Keras, ms", "seq2lite, ms", "speed-up"):
        table.add_column(column, justify="right" if column.endswith(("ms", "up")) else "left")
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        for name, prepare in (("layer", layer_call), ("training step", step_call)):
            calls = {"Keras": prepare(keras.layers.Dropout), "seq2lite": prepare(Dropout)}
            times = alternating_times(calls, [()] * turns, warmup=2)
            theirs, ours = (1000 * statistics.median(seconds) for seconds in times.values())
            table.add_row(name, policy, f"{theirs:,.1f}", f"{ours:,.1f}", f"{theirs / ours:.2f}x")
    Console(width=100).print(table)


def layer_call(layer_class):
    """Return a function that runs a layer of `layer_class` forward and backward."""
    layer = layer_class(RATE)
    x = tf.random.normal(SHAPE, dtype=layer.compute_dtype)

    @tf.function
    def call():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return y, tape.gradient(y, x)

    return call


def step_call(layer_class):
    """Return a function that trains `transformer_small`, built with `layer_class`, for one step."""
    with (
        mock.patch("seq2lite.zoo.transformer.model.Dropout", layer_class),
        mock.patch("seq2lite.zoo.transformer.layers.Dropout", layer_class),
    ):
        _, step = preset_step("Transformer", keras.config.dtype_policy().name, dropout=RATE)
    return partial(step, *random_ids(BATCH, LENGTH))


if __name__ == "__main__":
    main()
