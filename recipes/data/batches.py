"""The batches of a training: each is a function of the seed and of its number alone.

So a training that was stopped goes on with the very batch that would have come next, several
processes agree on a batch without a word, and a loss that is not finite has a batch with a name.
"""

import numpy as np
import tensorflow as tf

from .bucketing import _best_cut, _of_few_shapes, _rounded_up

NUM_SEGMENTATIONS = 64


class Batches:
    """Pairs of text as padded batches of ids, by length, for `fit` and for nothing but it.

    In each epoch the pairs are shuffled, sorted by length (pairs of equal lengths stay shuffled),
    cut into batches of about equal size, and the batches are shuffled.

    Args:
        pairs: List of (source, target) text.
        tokenizer: A `Tokenizer`.
        max_length: Longest source and longest target in tokens, the end among them; longer ones
            are cut there. An int for both, or a pair.
        batch_tokens: Most places of a batch: its pairs times the longer of its two lengths.
        seed: Of the order.
        alpha: None, or the smoothing of subword regularization, such as 0.2 (Kudo 2018,
            https://arxiv.org/abs/1804.10959, section 3.3): then each text is segmented anew each
            time, as one of its NUM_SEGMENTATIONS likeliest segmentations, by the seed too. Batches
            are made up by the likeliest one, so that sampled ones may be a little longer.
        few_shapes: Whether lengths are rounded up to BOUNDS, or further where it costs little, and
            batches of one shape hold one number of rows (the last rows of some are repeated, and weigh
            nothing): more padding, but for XLA and JAX, which compile each shape, less to compile.
        rows_multiple: What the rows of a batch are a multiple of, so that so many devices share it.

    Attributes:
        num_pairs: Number of pairs.
        num_cut: Number of those that were cut.
        num_batches: Batches of an epoch.
        num_tokens: Source and target tokens of an epoch, starts and ends among them.
        padding: Part of the places of an epoch that is padding.

    Example:
        >>> from seq2lite.recipes.data.batches import Batches
        >>> batches = Batches([("Open File", "파일 열기")] * 8, tokenizer, max_length=40,
        ...                   batch_tokens=80, seed=1)
        >>> inputs, following, weight = next(iter(batches.dataset()))
        >>> inputs["source"].shape == (4, 19), following.shape == weight.shape
        (False, True)
    """

    def __init__(
        self,
        pairs,
        tokenizer,
        *,
        max_length,
        batch_tokens,
        seed=0,
        alpha=None,
        few_shapes=False,
        rows_multiple=1,
    ):
        self.pairs = pairs
        self.tokenizer = tokenizer
        self.seed = seed
        self.alpha = alpha
        self._few_shapes = few_shapes
        self.max_lengths = (max_length, max_length) if isinstance(max_length, int) else max_length
        sides = [tokenizer.encode(column) for column in zip(*pairs, strict=True)]
        self.num_pairs = len(pairs)
        lengths = np.array([[len(ids) + 1 for ids in side] for side in sides], np.int32)
        limits = np.array(self.max_lengths)[:, None]
        self.num_cut = int((lengths > limits).any(axis=0).sum())
        lengths = np.minimum(lengths, limits)
        self._ids = [
            _ragged([self._row(ids, side) for ids in texts]) for side, texts in enumerate(sides)
        ]
        padded = _of_few_shapes(_rounded_up(lengths, limits)) if few_shapes else lengths
        self._key, self._splits, self._shapes = _best_cut(
            padded, batch_tokens, rows_multiple, few_shapes
        )
        self.num_batches = len(self._shapes)
        self.num_tokens = int(lengths.sum())
        self.padding = 1 - self.num_tokens / int((self._shapes[:, 0:1] * self._shapes[:, 1:]).sum())

    def indices(self, first_batch=0):
        """A `tf.data.Dataset` of (indices of pairs, lengths to pad to), from a batch on, endless.

        Args:
            first_batch: Number of the batch that comes first; epoch after epoch they are counted on.
        """
        key = tf.constant(self._key)
        splits, shapes = tf.constant(self._splits), tf.constant(self._shapes)

        def epoch(number):
            order = _shuffled(self.num_pairs, self.seed, number, 0)
            order = tf.gather(order, tf.argsort(tf.gather(key, order), stable=True))
            numbers = _shuffled(self.num_batches, self.seed, number, 1)
            start = tf.where(number == first_batch // self.num_batches, first_batch, 0)
            numbers = numbers[start % self.num_batches :]

            def batch(number):
                rows = tf.gather(order, tf.range(splits[number], splits[number + 1]))
                # Repeats rows to fill the shape.
                rows = tf.gather(rows, tf.range(shapes[number, 0]) % tf.size(rows))
                return rows, splits[number + 1] - splits[number], shapes[number, 1:]

            return tf.data.Dataset.from_tensor_slices(numbers).map(batch)

        epochs = tf.data.Dataset.range(first_batch // self.num_batches, np.iinfo(np.int64).max)
        return epochs.flat_map(epoch)

    def dataset(self, first_batch=0, num_batches=None, shard=(0, 1), service=None):
        """The batches as `fit` takes them.

        Args:
            first_batch: Number of the first one.
            num_batches: How many. Default: one epoch.
            shard: (i, n): of each batch, only the rows of the i-th of n equal parts.
            service: Address of a tf.data service that prepares them, such as
                `"grpc://10.0.0.1:5000"` (see `data_service.py`), or several with commas between;
                None: this process does.

        Returns:
            A `tf.data.Dataset` of `({"source", "target"}, next, weight)`: int32 ids `(batch,
            source_length)`, `(batch, target_length)` twice, the second one token on, and float32
            weights, 0 at padding and at repeated rows.
        """
        num_batches = self.num_batches if num_batches is None else num_batches
        numbered = self.indices(first_batch).take(num_batches).enumerate(first_batch)

        def make(number, batch):
            return self._training_batch(number, *batch, shard)

        if service is None:
            dataset = numbered.map(make)
        else:
            # A service has one worker, which keeps the order; of several each makes its part.
            addresses = service.split(",")
            sharding = tf.data.experimental.service.ShardingPolicy.OFF
            parts = [
                numbered.shard(len(addresses), i)
                .map(make)
                .apply(tf.data.experimental.service.distribute(sharding, address))
                for i, address in enumerate(addresses)
            ]
            turns = tf.data.Dataset.range(num_batches).map(lambda n: n % len(parts))
            dataset = tf.data.Dataset.choose_from_datasets(parts, turns)
        dataset = dataset.prefetch(8)
        options = tf.data.Options()
        # With autotune, `fit` can stall for seconds as an epoch's iterator is destroyed.
        options.autotune.enabled = False
        options.deterministic = True
        dataset = dataset.with_options(options)
        return dataset.apply(tf.data.experimental.assert_cardinality(num_batches))

    def pairs_of(self, number):
        """Indices of the pairs in batch `number`."""
        rows, num_rows, _ = next(iter(self.indices(number)))
        return rows.numpy()[: int(num_rows)].tolist()

    def _training_batch(self, number, rows, num_rows, lengths, shard):
        if self.alpha is None:
            source, target = (
                tf.gather(ids, rows).to_tensor(self.tokenizer.pad_id, shape=tf.stack([-1, length]))
                for ids, length in zip(self._ids, (lengths[0], lengths[1] + 1), strict=True)
            )
        else:
            source, target = tf.numpy_function(
                self._sampled, [number, rows, lengths], [tf.int32, tf.int32]
            )
            source.set_shape([None, None])
            target.set_shape([None, None])
        following = target[:, 1:]
        is_counted = (following != self.tokenizer.pad_id) & (tf.range(tf.size(rows)) < num_rows)[
            :, None
        ]
        batch = (
            {"source": source, "target": target[:, :-1]},
            following,
            tf.cast(is_counted, "float32"),
        )
        index, count = shard
        size = tf.size(rows) // count
        return tf.nest.map_structure(lambda x: x[index * size : (index + 1) * size], batch)

    def _row(self, ids, side):
        """A source `ids … end`, a target `start ids … end`."""
        row = [*ids[: self.max_lengths[side] - 1], self.tokenizer.end_id]
        return [self.tokenizer.start_id, *row] if side else row

    def _sampled(self, number, rows, lengths):
        """Padded source and target of a batch, each text segmented by chance."""
        # SentencePiece samples too, but with random numbers that no seed brings back elsewhere.
        chance = np.random.default_rng((self.seed, int(number)))
        padded = []
        for side, limit in enumerate(self.max_lengths):
            texts = [self._sample(self.pairs[row][side], chance) for row in rows]
            texts = [np.array(self._row(ids, side), np.int32) for ids in texts]
            length = np.array([[max(map(len, texts)) - side]])
            if self._few_shapes:
                length = _rounded_up(np.maximum(length, lengths[side]), np.array([[limit]]))
            shape = (len(texts), int(length[0, 0]) + side)
            padded.append(np.full(shape, self.tokenizer.pad_id, np.int32))
            for row, ids in zip(padded[-1], texts, strict=True):
                row[: len(ids)] = ids
        return tuple(padded)

    def _sample(self, text, chance):
        """Ids of one of the likeliest segmentations, by their probabilities to the power of alpha."""
        segmentations = self.tokenizer.likeliest(text, NUM_SEGMENTATIONS)
        scores = self.alpha * np.array([score for _, score in segmentations])
        odds = np.cumsum(np.exp(scores - scores.max()))
        return segmentations[int(np.searchsorted(odds, chance.random() * odds[-1]))][0]


def _ragged(rows):
    flat = np.fromiter((i for row in rows for i in row), np.int32)
    return tf.RaggedTensor.from_row_lengths(flat, np.array([len(row) for row in rows], np.int64))


def _shuffled(size, seed, epoch, what):
    key = tf.stack([tf.cast(seed, tf.int64), 2 * epoch + what])
    return tf.random.experimental.stateless_shuffle(tf.range(size), key)
