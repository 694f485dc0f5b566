"""How layers are traced for TFLite."""

from contextlib import contextmanager

import tensorflow as tf

from seq2lite.zoo.layers.embedding import TokenEmbedding


def call(function, *arguments):
    """`function(*arguments)` in a graph of its own, which the converted file holds once.

    TFLite has no call. Its nearest is an IF whose other branch is never taken; equal graphs become
    one in `without_repetition`. A runtime prepares such a graph anew at each call, so that it pays
    for what is called once a sentence, not for a step (measured: 1.4 times the time of a step).
    """
    outputs = []

    def called():
        outputs.append(function(*arguments))
        return outputs[0]

    def never():
        some = tf.shape(arguments[0])[0]  # a size that no tracer knows
        return tf.nest.map_structure(
            lambda x: tf.zeros([size or some for size in x.shape], x.dtype), outputs[0]
        )

    return tf.cond(tf.greater_equal(tf.shape(arguments[0])[0], 0), called, never)


def arg_max(logits):
    """`most_probable` as the single TFLite op ARG_MAX."""
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


@tf.function(experimental_implements="embedding_matmul")
def _embedding_lookup(table, ids):
    """What the converter turns into EMBEDDING_LOOKUP, table first, ids of rank 1.

    That op reads the int8 table which the tied output projection multiplies with. A GATHER would
    need a second copy of it.
    """
    return tf.gather(table, ids)


@contextmanager
def _one_buffer_lookup(model):
    """While this holds, `model` traces its embeddings as `_embedding_lookup`."""
    embeddings = [layer for layer in model._flatten_layers() if isinstance(layer, TokenEmbedding)]
    for layer in embeddings:
        layer.gather = lambda table, ids: _embedding_lookup(tf.convert_to_tensor(table), ids)
    try:
        yield
    finally:
        for layer in embeddings:
            del layer.gather


@contextmanager
def _called_encoder(model):
    """While this holds, `model.encode` is traced as a call of one graph."""
    encode = model.encode
    model.encode = lambda source: call(encode, source)
    try:
        yield
    finally:
        del model.encode
