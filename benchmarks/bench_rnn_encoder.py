"""Compare an int8 RNN encoder with the fastest known loop: two BiLSTM layers of 256 units.

    python benchmarks/bench_rnn_encoder.py

The peer is that loop, hand-written in TensorFlow for this case. It computes the input products before
the loop, one product per step, and writes outputs in place. The converter quantizes it (dynamic
range). Its weights are the same. It reads 256-dimensional vectors instead of ids and returns its
outputs only; seq2lite's `encode` also looks up the vectors and returns the decoder state. One
thread, batch 1. Successive calls have different lengths, as sentences do.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from seq2lite import export, zoo
from seq2lite.export.runtime.interpreter import open_interpreter

LENGTHS, DIM, UNITS, VOCABULARY_SIZE = (12, 24, 48, 96), 256, 256, 8000


class Peer(tf.Module):
    """Maps `(batch, length, DIM)` and a mask to `(batch, length, 2 UNITS)`."""

    def __init__(self, model):
        super().__init__()
        self.kernels = [
            [[tf.Variable(w) for w in recurrence.layer.get_weights()] for recurrence in layer]
            for layer in model.encoder
        ]
        self.encode = tf.function(
            self.run,
            input_signature=[
                tf.TensorSpec((None, None, DIM), tf.float32, name="x"),
                tf.TensorSpec((None, None), tf.bool, name="token"),
            ],
        )

    def run(self, x, token):
        lengths = tf.reduce_sum(tf.cast(token, tf.int32), axis=1, keepdims=True)
        place = tf.expand_dims(tf.range(tf.shape(token)[1]), 0)
        place = tf.where(place < lengths, lengths - 1 - place, place)
        for forward, backward in self.kernels:
            backwards = one_direction(tf.gather(x, place, batch_dims=1), token, *backward)
            backwards = tf.gather(backwards, place, batch_dims=1)
            x = tf.concat([one_direction(x, token, *forward), backwards], axis=-1)
        return {"outputs": x}


def one_direction(x, token, kernel, recurrent_kernel, bias):
    shape = tf.shape(x)
    projected = tf.matmul(tf.reshape(x, (-1, x.shape[-1])), kernel) + bias
    projected = tf.transpose(tf.reshape(projected, (shape[0], shape[1], 4 * UNITS)), (1, 0, 2))
    keep = tf.cast(tf.expand_dims(tf.transpose(token), 2), tf.float32)
    zeros = tf.zeros((shape[0], UNITS))

    def step(t, outputs, hidden, cell):
        gates = tf.gather(projected, t) + tf.matmul(hidden, recurrent_kernel)
        i, f, g, o = tf.split(gates, 4, axis=-1)
        after = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(g)
        output = tf.sigmoid(o) * tf.tanh(after)
        kept = tf.gather(keep, t)
        cell, hidden = cell + kept * (after - cell), hidden + kept * (output - hidden)
        outputs = keras.ops.slice_update(
            outputs, [t, 0, 0], tf.expand_dims(hidden, 0)
        )  # in place, in TFLite
        return t + 1, outputs, hidden, cell

    outputs = tf.while_loop(
        lambda t, *_: t < shape[1],
        step,
        (0, tf.zeros((shape[1], shape[0], UNITS)), zeros, zeros),
    )[1]
    return tf.transpose(outputs, (1, 0, 2))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=60)
    turns = parser.parse_args().turns
    model = zoo.rnn_seq2seq(
        vocabulary_size=VOCABULARY_SIZE,
        cell="lstm",
        num_layers=2,
        embedding_dim=DIM,
        hidden_dim=2 * UNITS,
        bidirectional=True,
        attention="dot",
    )
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        peer = Peer(model)
        tf.saved_model.save(peer, folder / "peer", {"encode": peer.encode})
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "peer"))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        contenders = {"hand-written loop": converter.convert()}
        export.to_tflite(model, folder / "model.tflite", quantization="int8")
        contenders["`encode` of seq2lite"] = (folder / "model.tflite").read_bytes()
    runners = {
        name: open_interpreter(content, 1, name).get_signature_runner("encode")
        for name, content in contenders.items()
    }
    table = Table(
        "",
        *(f"{length} tokens" for length in LENGTHS),
        title="ms, and ratio to the hand-written loop",
    )
    rng = np.random.default_rng(0)
    seconds = {name: {length: [] for length in LENGTHS} for name in runners}
    for _ in range(turns + 1):
        for length in LENGTHS:
            source = rng.integers(4, VOCABULARY_SIZE, (1, length)).astype(np.int32)
            embedded = np.array(model.source_embedding.sequences(source, model.pad_id))
            inputs = ({"x": embedded, "token": source > 0}, {"source": source})
            results = []
            for (name, run), arguments in zip(runners.items(), inputs, strict=True):
                start = time.perf_counter()
                results.append(run(**arguments))
                seconds[name][length].append(time.perf_counter() - start)
            np.testing.assert_allclose(results[1]["memory"], results[0]["outputs"], atol=0.05)
    medians = {
        name: [statistics.median(times[1:]) for times in by_length.values()]
        for name, by_length in seconds.items()
    }
    peer, _ = runners
    for name, times in medians.items():
        cells = (f"{1e3 * a:.2f}  {a / b:.2f}x" for a, b in zip(times, medians[peer], strict=True))
        table.add_row(name, *cells)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
