"""Speed of beam search with a cached decoder state, relative to running the complete model per token.

    python benchmarks/bench_beam.py

Both searches are `zoo.beam_search` in a `tf.function` with the same weights, and must find the same
targets. Conditions: 64 sources of 24 tokens, 4 beams, at most 48 tokens. The weights are random, so
a hypothesis rarely ends early.
"""

import argparse
import statistics

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from rich.console import Console
from rich.table import Table

from seq2lite import zoo
from timing import alternating_times

VOCABULARY_SIZE, BATCH, SOURCE_LENGTH, MAX_LENGTH = 8000, 64, 24, 48


class Uncached(zoo.Seq2Seq):
    """A model without cached state: each step runs encoder and decoder over all tokens so far."""

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
        target = tokens[:, : count + 1]
        logits = self.model({"source": state["source"], "target": target}, training=False)
        return logits[:, -1], {**state, "tokens": tokens, "count": state["count"] + 1}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5, help="timed runs of each (default: 5)")
    turns = parser.parse_args().turns
    table = Table(title=f"Beam search, {BATCH} sources, median of {turns} turns")
    for column in ("model", "cached, ms", "complete model per token, ms", "speed-up"):
        table.add_column(column, justify="left" if column == "model" else "right")
    source = np.random.default_rng(0).integers(4, VOCABULARY_SIZE, (BATCH, SOURCE_LENGTH))
    for preset in ("transformer_small", "rnn_small"):
        keras.utils.set_random_seed(1)
        model = zoo.build(preset, vocabulary_size=VOCABULARY_SIZE)
        searches = {"cached": compile_search(model), "complete": compile_search(Uncached(model))}
        targets = [search(source) for search in searches.values()]
        np.testing.assert_array_equal(*targets)
        times = alternating_times(searches, [(source,)] * turns, warmup=0)
        cached, complete = (1000 * statistics.median(seconds) for seconds in times.values())
        table.add_row(preset, f"{cached:,.0f}", f"{complete:,.0f}", f"{complete / cached:.1f}x")
    Console(width=100).print(table)


def compile_search(model):
    """Return a function of source ids that gives the best target of each source."""

    @tf.function
    def search(source):
        return zoo.beam_search(model, source, MAX_LENGTH)[0][:, 0]

    return lambda source: search(tf.constant(source, tf.int32)).numpy()


if __name__ == "__main__":
    main()
