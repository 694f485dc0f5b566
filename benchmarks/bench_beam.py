"""Beam search that steps, as the recipes score with, beside one that runs the model anew for each token.

    python benchmarks/bench_beam.py

Both are `zoo.beam_search` in a `tf.function`, on the same weights, and must find the same targets: the
peer is the same model behind a `decode_step` that keeps the tokens alone and calls the whole model.
64 sources of 24 tokens, 4 beams, at most 48 tokens; random weights that seldom end a sentence.
"""

import argparse
import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from rich.console import Console
from rich.table import Table

from seq2lite import zoo

VOCABULARY_SIZE, BATCH, SOURCE_LENGTH, MAX_LENGTH = 8000, 64, 24, 48


class Rerun(zoo.Seq2Seq):
    """A model whose every step runs the encoder and the decoder over all that was said."""

    shared_state = frozenset({"source"})

    def __init__(self, model):
        super().__init__(
            vocabulary_size=model.vocabulary_size,
            pad_id=model.pad_id,
            start_id=model.start_id,
            end_id=model.end_id,
        )
        self.model = model

    def encode(self, source):
        tokens = ops.zeros((ops.shape(source)[0], MAX_LENGTH + 1), "int32")
        return {"source": source, "tokens": tokens, "count": tokens[:, 0]}

    def step(self, token, state):
        count = state["count"][0]
        tokens = ops.slice_update(state["tokens"], [0, count], ops.expand_dims(token, 1))
        given = tokens[:, : count + 1]
        logits = self.model({"source": state["source"], "target": given}, training=False)
        return logits[:, -1], {**state, "tokens": tokens, "count": state["count"] + 1}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    table = Table(title=f"Beam search, {BATCH} sources: medians of {options.turns} turns")
    for column in ("model", "stepping, ms", "running anew, ms", "ratio"):
        table.add_column(column, justify="left" if column == "model" else "right")
    source = np.random.default_rng(0).integers(4, VOCABULARY_SIZE, (BATCH, SOURCE_LENGTH))
    for preset in ("transformer_small", "rnn_small"):
        keras.utils.set_random_seed(1)
        model = zoo.build(preset, vocabulary_size=VOCABULARY_SIZE)
        searches = [compiled(model), compiled(Rerun(model))]
        found = [search(source) for search in searches]
        np.testing.assert_array_equal(*found)
        seconds = [[], []]
        for _ in range(options.turns):
            for times, search in zip(seconds, searches, strict=True):
                start = time.perf_counter()
                search(source)
                times.append(time.perf_counter() - start)
        stepping, anew = (1000 * statistics.median(times) for times in seconds)
        table.add_row(preset, f"{stepping:,.0f}", f"{anew:,.0f}", f"{anew / stepping:.1f}x")
    Console(width=100).print(table)


def compiled(model):
    """A function of sources that gives the best targets."""

    @tf.function
    def search(source):
        return zoo.beam_search(model, source, MAX_LENGTH)[0][:, 0]

    return lambda source: search(tf.constant(source, tf.int32)).numpy()


if __name__ == "__main__":
    main()
