"""The recurrent model of OpenNMT-tf: the peer of `bench_training.py --opennmt-python PATH`.

Runs in a separate environment with OpenNMT-tf 2.32 and TensorFlow 2.13, which conflict with the
requirements of this project. The model is NMTSmallV1 of its catalog (two unidirectional LSTM layers
of 512 units, Luong's attention, input feeding) with the embeddings and the dropout of `rnn_small`.
Answers the requests of `timing.serve_steps`.
"""

import sys
import tempfile

import numpy as np
import opennmt
import tensorflow as tf
import tensorflow_addons as tfa

from timing import serve_steps


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
        # OpenNMT-tf adds one entry for unknown words.
        file.write("\n".join(f"word{i}" for i in range(vocabulary_size - 1)))
        file.flush()
        data = {"source_vocabulary": file.name, "target_vocabulary": file.name}
        model.initialize(data, params={"label_smoothing": 0.1})
    optimizer = opennmt.optimizers.make_optimizer("Adam", 1e-3, beta_2=0.98, clipnorm=1.0)
    rng = np.random.default_rng(0)
    source, target, labels_out = rng.integers(4, vocabulary_size, (3, batch, length))
    lengths = np.full(batch, length, np.int32)
    features = {"ids": tf.constant(source), "length": tf.constant(lengths)}
    labels = {"ids": tf.constant(target), "ids_out": tf.constant(labels_out)}
    labels["length"] = tf.constant(lengths)
    model.create_variables(optimizer=optimizer)
    train = tf.function(lambda: model.train(features, labels, optimizer))
    num_parameters = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    serve_steps(num_parameters, lambda: float(train()))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:4]), float(sys.argv[4]))
