"""Signatures that take and return UTF-8 text, with inputs and outputs of fixed sizes.

`CompiledModel`, LiteRT.js and hosts without signatures need fixed sizes. Inside, sizes follow the text.
"""

import tensorflow as tf

from seq2lite.zoo.shapes import dynamic_one

from .lowering import call
from .sentencepiece import fitting_bytes

ANSWER_SIZE = 2  # maximum number of bytes of an answer per byte of a text


def text_functions(
    model, graph, search, num_beams, max_source_length, max_target_length, max_text_bytes
):
    """Return the signatures over one text as concrete functions by name.

    A `length` is returned as `-1 - length` if something was cut: the given text, or the result.

    Args:
        model: A `zoo.Seq2Seq`.
        graph: A `TextGraph`.
        search: Function of `source` and `max_length`: `zoo.greedy_search`, or `zoo.beam_search` with
            as many hypotheses as beams.
        num_beams: Beam size of `search`; 1 for greedy search.
        max_source_length: Maximum number of source tokens, including the end.
        max_target_length: Maximum number of generated tokens if `max_length` is not positive.
        max_text_bytes: Size of texts; also the maximum number of `ids`.
    """
    size = max_text_bytes

    def ids_of(text, length):
        """Return the ids of a text, and their number."""
        # At least one byte: a graph cannot be called with an empty tensor.
        return call(graph.tokenize, text[: tf.clip_by_value(length, 1, size)], length)

    def text_of(ids, length, is_cut):
        """Return text and its length, given whether the ids are already those of a cut text."""
        text, number = call(graph.detokenize, ids, length)
        kept = fitting_bytes(text, number, ANSWER_SIZE * size)
        return _filled(text, kept, ANSWER_SIZE * size), _told(kept, is_cut | (number > kept))

    def answers(text, length, max_length):
        """Return the results of the search for a text, and whether the text was cut."""
        ids, number = ids_of(text, length)
        is_cut = (length > size) | (number >= max_source_length)
        ids = ids[: tf.minimum(number, max_source_length - 1)]
        # Dynamic sizes, although there is one sentence, so that the loop equals that of `generate`
        # and is stored once.
        ids = tf.concat([ids, [model.end_id]], axis=0)
        source = tf.reshape(ids, [dynamic_one(ids), -1])
        max_length = tf.where(max_length > 0, max_length, max_target_length)
        tokens, lengths, *scores = search(source, max_length)
        if num_beams > 1:
            tokens, lengths, scores = tokens[0], lengths[0], tf.reshape(scores, (num_beams,))
        lengths *= tf.minimum(number, 1)  # blank text has no ids, and no answer
        return tokens, lengths, scores, is_cut

    def translate(text, length, max_length):
        tokens, lengths, _, is_cut = answers(text, length, max_length)
        text, length = text_of(tokens[0], lengths[0], is_cut)
        return {"text": text, "length": length}

    def translate_beam(text, length, max_length):
        tokens, lengths, scores, is_cut = answers(text, length, max_length)
        found = [text_of(tokens[i], lengths[i], is_cut) for i in range(num_beams)]
        texts, lengths = zip(*found, strict=True)
        return {"text": tf.stack(texts), "length": tf.stack(lengths), "scores": scores}

    def tokenize(text, length):
        ids, number = ids_of(text, length)
        kept = tf.minimum(number, size)
        is_cut = (length > size) | (number > kept)
        return {"ids": _filled(ids, kept, size), "length": _told(kept, is_cut)}

    def detokenize(ids, length):
        # A size that follows the length, so that the graph equals that of `translate`.
        kept = tf.clip_by_value(length, 1, size)
        text, length = text_of(ids[:kept], length, length > size)
        return {"text": text, "length": length}

    text = tf.TensorSpec((size,), tf.uint8, name="text")
    ids = tf.TensorSpec((size,), tf.int32, name="ids")
    length = tf.TensorSpec((), tf.int32, name="length")
    max_length = tf.TensorSpec((), tf.int32, name="max_length")
    specs = {
        translate: (text, length, max_length),
        tokenize: (text, length),
        detokenize: (ids, length),
    }
    if num_beams > 1:
        specs[translate_beam] = specs[translate]
    return {
        function.__name__: tf.function(function, autograph=False).get_concrete_function(*spec)
        for function, spec in specs.items()
    }


def _filled(values, number, size):
    """Return the first values, padded with zeros to a size that is known before the graph runs."""
    values = values[: tf.maximum(number, 1)]  # there is one, a zero if `number` is 0
    return tf.scatter_nd(tf.range(tf.size(values))[:, None], values, [size])


def _told(length, is_cut):
    """Return a length, as `-1 - length` if something was cut: negative for a length of 0 too."""
    return tf.where(is_cut, -1 - length, length)
