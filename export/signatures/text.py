"""Signatures that take and return UTF-8 text."""

import tensorflow as tf

from seq2lite.zoo.search.greedy import greedy_search
from seq2lite.zoo.shapes import dynamic_one

from .lowering import arg_max, call


def text_functions(model, graph, max_source_length, max_target_length):
    """Return `translate`, `tokenize` and `detokenize`, each over one text, as concrete functions."""

    @tf.function(autograph=False)
    def tokenize(text):
        ids, length = call(graph.tokenize, text)
        return {"ids": ids, "length": length}

    @tf.function(autograph=False)
    def detokenize(ids):
        text, length = call(graph.detokenize, ids, tf.size(ids))
        return {"text": text, "length": length}

    @tf.function(autograph=False)
    def translate(text):
        ids, length = call(graph.tokenize, text)
        ids = ids[: tf.minimum(length, max_source_length - 1)]
        # Dynamic sizes, although there is one sentence, so that the loop equals that of `generate`
        # and is stored once.
        source = tf.reshape(tf.concat([ids, [model.end_id]], axis=0), [dynamic_one(ids), -1])
        max_length = max_target_length * dynamic_one(ids)
        tokens, lengths = greedy_search(model, source, max_length, choose=arg_max)
        has_text = tf.cast(tf.logical_not(graph.is_blank(text)), tf.int32)
        translated, length = call(graph.detokenize, tokens[0], lengths[0] * has_text)
        return {"text": translated, "length": length}

    ids = tf.TensorSpec((None,), tf.int32, name="ids")
    text = tf.TensorSpec((None,), tf.uint8, name="text")
    return {
        "translate": translate.get_concrete_function(text),
        "tokenize": tokenize.get_concrete_function(text),
        "detokenize": detokenize.get_concrete_function(ids),
    }
