"""Subprocess: tokens a second, batch 1, one thread, of a TFLite file or a SavedModel.

`python -m seq2lite.export.speed MODEL IN.npz OUT.json`. Both are measured in a process of their
own, so that neither inherits threads, and both run the same loop: `generate`.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from .isolation import explained
from .runtime import BundleError, interpreter_search

PASSES = 3


def saved_model_search(folder):
    """A SavedModel's `generate`, in TensorFlow on one thread."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(folder)
    signature = loaded.signatures["generate"]

    def generate_ids(source, max_length):
        result = signature(
            source=tf.constant(source), max_length=tf.constant(int(max_length), tf.int32)
        )
        return result["tokens"].numpy(), result["length"].numpy()

    generate_ids.loaded = loaded  # keeps the variables alive
    return generate_ids


def tokens_per_second(generate_ids, source, lengths, max_length):
    """Median over passes of all sentences, one by one; the first pass only warms up."""
    rates = []
    for _ in range(PASSES + 1):
        count, start = 0, time.perf_counter()
        for row, length in zip(source, lengths, strict=True):
            _, generated = generate_ids(row[None, :length], max_length)
            count += int(generated[0]) + 1  # the end is generated too
        rates.append(count / (time.perf_counter() - start))
    return statistics.median(rates[1:])


if __name__ == "__main__":
    model, inputs, output = sys.argv[1:]
    with explained(BundleError, OSError):
        if Path(model).is_dir():
            search = saved_model_search(model)
        else:
            search = interpreter_search(Path(model).read_bytes(), 1, model)
        rate = tokens_per_second(search, **np.load(inputs))
        Path(output).write_text(json.dumps({"tokens_per_second": rate}))
