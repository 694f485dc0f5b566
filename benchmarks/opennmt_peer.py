"""Train OpenNMT-tf's recurrent model, for `bench_training.py --opennmt-python PATH`.

This script runs under the interpreter of an environment with OpenNMT-tf 2.32 and TensorFlow 2.13,
which cannot be installed beside this project. The model is NMTSmallV1 of OpenNMT-tf's catalog (two
unidirectional LSTM layers of 512, Luong's attention, input feeding) with the embeddings and the
dropout of `rnn_small`. It answers the first input line with the number of parameters, and each
further line with the seconds of a step.
"""

import sys
import tempfile
import time

import numpy as np
import opennmt
import tensorflow as tf
import tensorflow_addons as tfa


def main(vocabulary_size, batch, length, dropout):
    tf.config.threading.set_intra_op_parallelism_threads(2)
    cell = {"num_layers": 2, "num_units": 512, "dropout": dropout}
    cell["cell_class"] = tf.keras.layers.LSTMCell
    model = opennmt.models.SequenceToSequence(
        opennmt.inputters.WordEmbedder(256),
        opennmt.inputters.WordEmbedder(256),
        opennmt.encoders.RNNEncoder(**cell),
        opennmt.decoders.AttentionalRNNDecoder(
            bridge_class=opennmt.layers.CopyBridge,
            attention_mechanism_class=tfa.seq2seq.LuongAttention,
            **cell,
        ),
    )
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        # OpenNMT-tf adds one entry, for unknown words.
        file.write("\n".join(f"word{i}" for i in range(vocabulary_size - 1)))
        file.flush()
        data = {"source_vocabulary": file.name, "target_vocabulary": file.name}
        model.initialize(data, params={"label_smoothing": 0.1})
    optimizer = opennmt.optimizers.make_optimizer("Adam", 1e-3, beta_2=0.98, clipnorm=1.0)
    rng = np.random.default_rng(0)
    source, target, following = rng.integers(4, vocabulary_size, (3, batch, length))
    lengths = np.full(batch, length, np.int32)
    features = {"ids": tf.constant(source), "length": tf.constant(lengths)}
    labels = {"ids": tf.constant(target), "ids_out": tf.constant(following)}
    labels["length"] = tf.constant(lengths)
    model.create_variables(optimizer=optimizer)
    train = tf.function(lambda: model.train(features, labels, optimizer))
    for _ in range(2):
        float(train())
    sys.stdin.readline()
    print(sum(int(np.prod(weight.shape)) for weight in model.trainable_weights), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        float(train())
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:4]), float(sys.argv[4]))
