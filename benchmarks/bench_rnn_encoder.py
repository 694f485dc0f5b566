"""Speed of an RNN encoder in an int8 file, relative to the fastest loop known for this case.

    python benchmarks/bench_rnn_encoder.py

The encoder has two BiLSTM layers of 256 units. The peer is a loop written in TensorFlow for this
case only: inputs are projected before the loop, a step has one matrix product, and outputs are
written in place. The converter quantizes it (dynamic range). Both have the same weights. The peer
reads 256-dimensional vectors and returns its outputs; `encode` of seq2lite also looks the vectors
up and returns the decoder's state. One thread, batch size 1. The length changes from call to call,
as it does with real sentences.
"""

import argparse
import statistics
import tempfile
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from seq2lite import export, zoo
from seq2lite.export.runtime.interpreter import open_interpreter
from timing import alternating_times

LENGTHS, DIM, UNITS, VOCABULARY_SIZE = (12, 24, 48, 96), 256, 256, 8000
LOOP, OURS = "hand-written loop", "seq2lite's `encode`"


class Peer(tf.Module):
    """Encode `x (batch, length, DIM)` as `(batch, length, 2 * UNITS)`. `token` is False at padding."""

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
        position = tf.expand_dims(tf.range(tf.shape(token)[1]), 0)
        position = tf.where(position < lengths, lengths - 1 - position, position)
        for forward, backward in self.kernels:
            reverse = one_direction(tf.gather(x, position, batch_dims=1), token, *backward)
            reverse = tf.gather(reverse, position, batch_dims=1)
            x = tf.concat([one_direction(x, token, *forward), reverse], axis=-1)
        return {"outputs": x}


def one_direction(x, token, kernel, recurrent_kernel, bias):
    """Return the outputs of one LSTM `(batch, length, UNITS)`. States are kept at padding."""
    shape = tf.shape(x)
    projected = tf.matmul(tf.reshape(x, (-1, x.shape[-1])), kernel) + bias
    projected = tf.transpose(tf.reshape(projected, (shape[0], shape[1], 4 * UNITS)), (1, 0, 2))
    is_token = tf.cast(tf.expand_dims(tf.transpose(token), 2), tf.float32)
    zeros = tf.zeros((shape[0], UNITS))

    def step(t, outputs, hidden, cell):
        gates = tf.gather(projected, t) + tf.matmul(hidden, recurrent_kernel)
        i, f, g, o = tf.split(gates, 4, axis=-1)
        new_cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(g)
        new_hidden = tf.sigmoid(o) * tf.tanh(new_cell)
        update = tf.gather(is_token, t)
        cell, hidden = cell + update * (new_cell - cell), hidden + update * (new_hidden - hidden)
        # TFLite updates this slice in place.
        outputs = keras.ops.slice_update(outputs, [t, 0, 0], tf.expand_dims(hidden, 0))
        return t + 1, outputs, hidden, cell

    outputs = tf.while_loop(
        lambda t, *_: t < shape[1],
        step,
        (0, tf.zeros((shape[1], shape[0], UNITS)), zeros, zeros),
    )[1]
    return tf.transpose(outputs, (1, 0, 2))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=60, help="calls per length (default: 60)")
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
    encoders = open_encoders(model)
    rng = np.random.default_rng(0)
    inputs = [(random_inputs(model, rng),) for _ in range(turns)]
    for (batches,) in inputs:
        for by_name in batches.values():
            peer, ours = (run(**by_name[name]) for name, run in encoders.items())
            np.testing.assert_allclose(ours["memory"], peer["outputs"], atol=0.05)

    def call(length, name, batches):
        encoders[name](**batches[length][name])

    calls = {(length, name): partial(call, length, name) for length in LENGTHS for name in encoders}
    times = alternating_times(calls, inputs)
    medians = {key: 1e3 * statistics.median(seconds) for key, seconds in times.items()}
    title = "ms, and time relative to the hand-written loop"
    table = Table("", *(f"{length} tokens" for length in LENGTHS), title=title)
    for name in encoders:
        cells = ((medians[length, name], medians[length, LOOP]) for length in LENGTHS)
        table.add_row(name, *(f"{own:.2f}  {own / loop:.2f}x" for own, loop in cells))
    Console(width=110).print(table)


def open_encoders(model):
    """Return the `encode` signatures of the peer's file and of seq2lite's, by name."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        peer = Peer(model)
        tf.saved_model.save(peer, folder / "peer", {"encode": peer.encode})
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "peer"))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        files = {LOOP: converter.convert()}
        export.to_tflite(model, folder / "model.tflite", quantization="int8")
        files[OURS] = (folder / "model.tflite").read_bytes()
    return {
        name: open_interpreter(content, 1, name).get_signature_runner("encode")
        for name, content in files.items()
    }


def random_inputs(model, rng):
    """Return the inputs of one turn: length to name to keyword arguments."""
    inputs = {}
    for length in LENGTHS:
        source = rng.integers(4, VOCABULARY_SIZE, (1, length)).astype(np.int32)
        embedded = np.array(model.source_embedding.sequences(source, model.pad_id))
        inputs[length] = {LOOP: {"x": embedded, "token": source > 0}, OURS: {"source": source}}
    return inputs


if __name__ == "__main__":
    main()
