"""From pairs of text to batches of ids: a SentencePiece model, and a tf.data pipeline."""

import io

import sentencepiece
import tensorflow as tf
import tensorflow_text as tf_text

from ..export.tokenizer import Tokenizer
from .pairs import DataError


def learn_tokenizer(texts, vocabulary_size, seed=0):
    """Learns a joint unigram model with byte fallback: every text comes back as it was.

    But for U+2581, SentencePiece's own mark of a space, which comes back as a space.

    Unigram: Kudo 2018, https://arxiv.org/abs/1804.10959.

    Args:
        texts: Iterable of str, of both languages.
        vocabulary_size: Number of pieces, the special ids and 256 bytes among them.
        seed: Of the sample that SentencePiece takes of very large text.

    Returns:
        A `Tokenizer`. pad 0, unknown 1, start 2, end 3.

    Raises:
        DataError: The text is too small for so many pieces.
    """
    model = io.BytesIO()
    sentencepiece.set_random_generator_seed(seed)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocabulary_size,
            byte_fallback=True,
            character_coverage=0.9995,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            pad_id=0,
            unk_id=1,
            bos_id=2,
            eos_id=3,
            num_threads=2,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise DataError(
            "The training text must hold enough different pieces for "
            f"vocabulary_size={vocabulary_size}. Received: {str(error).rpartition('] ')[2]}"
        ) from error
    return Tokenizer(model.getvalue())


def batches(pairs, tokenizer, *, max_length, batch_tokens, shuffle_seed=None):
    """A tf.data pipeline of training batches, by length, so that little is padding.

    Args:
        pairs: List of (source, target).
        tokenizer: A `Tokenizer`.
        max_length: Longest source in tokens, its end among them, and target likewise; longer ones are
            cut.
        batch_tokens: Sentences in a batch times the greatest length in it, about.
        shuffle_seed: None: the order of `pairs`, once. Else: shuffled anew in each epoch.

    Returns:
        A `tf.data.Dataset` of `({"source", "target"}, next, weight)`: int32 ids `(batch,
        source_length)`, `(batch, target_length)` twice, the second one token on, and float32
        weights, 0 at padding; its cardinality is known. And the number of pairs that were cut.
    """
    ids = _Ids(tokenizer, max_length)
    dataset = tf.data.Dataset.from_tensor_slices(tuple(map(list, zip(*pairs, strict=True))))
    # Tokenizing thousands at once is 30 times as fast as one by one.
    dataset = dataset.batch(2048)
    num_cut = int(dataset.map(ids.num_cut).reduce(0, lambda total, n: total + n))
    dataset = dataset.map(ids.of_pairs, num_parallel_calls=2).unbatch()
    # One row of a ragged tensor is a plain tensor, once a function has taken it.
    dataset = dataset.map(lambda source, target: (source, target)).cache()
    if shuffle_seed is not None:
        dataset = dataset.shuffle(len(pairs), seed=shuffle_seed, reshuffle_each_iteration=True)
    bounds = [b for b in _BUCKETS if b < max_length]
    dataset = dataset.bucket_by_sequence_length(
        lambda source, target: tf.maximum(tf.size(source), tf.size(target)),
        bucket_boundaries=[b + 1 for b in bounds],
        bucket_batch_sizes=[max(1, batch_tokens // b) for b in [*bounds, max_length]],
        padded_shapes=([None], [None]),
        padding_values=tokenizer.pad_id,
    )
    if shuffle_seed is not None:
        # Batches leave their buckets in order of length, more or less: mix them too.
        dataset = dataset.shuffle(64, seed=shuffle_seed, reshuffle_each_iteration=True)

    def training_batch(source, target):
        weight = tf.cast(target[:, 1:] != tokenizer.pad_id, tf.float32)
        return {"source": source, "target": target[:, :-1]}, target[:, 1:], weight

    dataset = dataset.map(training_batch).prefetch(8)
    options = tf.data.Options()
    # With autotune, `fit` can stall for seconds as an epoch's iterator is destroyed.
    options.autotune.enabled = False
    dataset = dataset.with_options(options)
    # Every order of the sentences gives as many batches: Keras may know it, and show the time left.
    num_batches = int(dataset.reduce(0, lambda n, *_: n + 1))
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(num_batches))
    # The graph holds the tokenizer by name only: whoever holds the dataset must hold it too.
    dataset.graph_tokenizer = ids
    return dataset, num_cut


_BUCKETS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


class _Ids:
    """Batches of text to ragged ids, inside the graph, with the tokenizer's own model."""

    def __init__(self, tokenizer, max_length):
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.graph_tokenizer = tf_text.SentencepieceTokenizer(tokenizer.model_bytes)

    def of_pairs(self, sources, targets):
        end = tf.fill([tf.size(sources), 1], self.tokenizer.end_id)
        start = tf.fill([tf.size(sources), 1], self.tokenizer.start_id)
        source, target = (
            self.graph_tokenizer.tokenize(texts)[:, : self.max_length - 1]
            for texts in (sources, targets)
        )
        return tf.concat([source, end], axis=1), tf.concat([start, target, end], axis=1)

    def num_cut(self, sources, targets):
        too_long = [
            self.graph_tokenizer.tokenize(texts).row_lengths() > self.max_length - 1
            for texts in (sources, targets)
        ]
        return tf.reduce_sum(tf.cast(too_long[0] | too_long[1], tf.int32))
