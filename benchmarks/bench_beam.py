"""Compare cached beam search with beam search that runs the complete model for each token.

    python benchmarks/bench_beam.py

The first is the search of the recipes. Both are `zoo.beam_search` in a `tf.function`, on the same
weights, and must find the same targets. The second wraps the model in a step that stores only the
tokens. 64 sources of 24 tokens, 4 beams, at most 48 tokens; random weights that rarely end a
sentence.
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
    """A model whose every step runs the encoder, and the decoder over all generated tokens."""

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
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    table = Table(title=f"Beam search, {BATCH} sources: medians of {options.turns} turns")
    for column in ("model", "cached, ms", "complete model per token, ms", "speed-up"):
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
        cached, complete = (1000 * statistics.median(times) for times in seconds)
        table.add_row(preset, f"{cached:,.0f}", f"{complete:,.0f}", f"{complete / cached:.1f}x")
    Console(width=100).print(table)


def compiled(model):
    """Return a function from sources to their best targets."""

    @tf.function
    def search(source):
        return zoo.beam_search(model, source, MAX_LENGTH)[0][:, 0]

    return lambda source: search(tf.constant(source, tf.int32)).numpy()


if __name__ == "__main__":
    main()
