"""Training batches: each one depends on the seed and its number only.

So a resumed training continues with exactly the next batch, several processes agree on a batch
without communication, and the batch of a non-finite loss can be identified.
"""

from collections.abc import Sequence

import keras  # noqa: F401  (before TensorFlow: PyTorch, imported after it, can crash)
import numpy as np
import tensorflow as tf

from seq2lite.export.runtime.text import ended, pad
from seq2lite.export.runtime.tokenizer import Tokenizer, Tokenizers

from .bucketing import make_buckets, round_up

NUM_SEGMENTATIONS = 64  # most probable segmentations of a text that `alpha` samples from
SHUFFLE_PAIRS, SHUFFLE_BATCHES = 0, 1  # the two random permutations of an epoch

# Nothing here is Python control flow over tensors, and the conversion takes time.
without_autograph = tf.autograph.experimental.do_not_convert


class Batches:
    """Text pairs as padded batches of ids, for `keras.Model.fit`.

    Each epoch shuffles the pairs, sorts them by length (pairs of equal lengths stay shuffled), cuts
    them into batches of about equal size, and shuffles the batches.

    Args:
        pairs: (source, target) texts, a list or `Pairs`.
        tokenizer: A `Tokenizer` for both sides, or a (source, target) pair.
        max_length: Maximum source and target length in tokens, including the end id; longer texts
            are cut. An int for both sides, or a (source, target) pair.
        batch_tokens: Maximum size of a batch: number of pairs times the longer of its two lengths.
        seed: Seed of the order. Default: 0.
        alpha: Smoothing of subword regularization, such as 0.2 (Kudo 2018,
            https://arxiv.org/abs/1804.10959, section 3.3): each time, a text is segmented at random
            into one of its NUM_SEGMENTATIONS most probable segmentations. Batches are formed by
            the most probable one, so sampled ones may be slightly larger. Default: None, always the
            most probable segmentation.
        few_shapes: Whether to pad batches to few different shapes, for XLA and JAX, which compile
            each shape. Rows are then repeated with a weight of 0 to fill a shape. Default: False.
        rows_multiple: Number that divides the rows of each batch, so that devices can share it.
            Default: 1.

    Attributes:
        lines: Line number of each pair.
        origin: Name of the pairs' file.
        num_pairs: Number of pairs.
        num_cut: Number of pairs that are cut.
        num_batches: Number of batches in an epoch.
        num_tokens: Source and target tokens in an epoch, including start and end ids.
        padding: Padding in an epoch, as a fraction of all tokens.

    Example:
        >>> from seq2lite.recipes.data.batches import Batches
        >>> pairs = [("Open File", "파일 열기")] * 8
        >>> batches = Batches(pairs, tokenizer, max_length=40, batch_tokens=80, seed=1)
        >>> inputs, next_tokens, weights = next(iter(batches.dataset()))
        >>> inputs["source"].shape == (4, 19), next_tokens.shape == weights.shape
        (False, True)
    """

    def __init__(
        self,
        pairs: Sequence[tuple[str, str]],
        tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer] | Tokenizers,
        *,
        max_length: int | tuple[int, int],
        batch_tokens: int,
        seed: int = 0,
        alpha: float | None = None,
        few_shapes: bool = False,
        rows_multiple: int = 1,
    ):
        self.pairs = pairs
        # For messages; a plain list has neither.
        self.lines = getattr(pairs, "lines", [*range(1, len(pairs) + 1)])
        self.origin = getattr(pairs, "origin", "the data")
        self.tokenizers = Tokenizers.of(tokenizer)
        self.seed = seed
        self.alpha = alpha
        self.few_shapes = few_shapes
        self.max_lengths = (max_length, max_length) if isinstance(max_length, int) else max_length
        self._sides = (self.tokenizers.source, self.tokenizers.target)
        self._pad_id = self.tokenizers.target.pad_id
        texts = zip(*pairs, strict=True)
        ids = [t.encode(side) for t, side in zip(self._sides, texts, strict=True)]
        lengths = np.array([[len(row) + 1 for row in side] for side in ids], np.int32)
        limits = np.array(self.max_lengths)[:, None]
        self.num_pairs = len(pairs)
        self.num_cut = int((lengths > limits).any(axis=0).sum())
        lengths = np.minimum(lengths, limits)
        self._rows = [_ragged([self._row(i, side) for i in ids[side]]) for side in (0, 1)]
        self._buckets = make_buckets(
            lengths, self.max_lengths, batch_tokens, rows_multiple, few_shapes
        )
        self.num_batches = len(self._buckets.shapes)
        self.num_tokens = int(lengths.sum())
        self.padding = 1 - self.num_tokens / self._buckets.padded_size

    def dataset(
        self,
        first_batch: int = 0,
        num_batches: int | None = None,
        shard: tuple[int, int] = (0, 1),
        service: str | None = None,
    ) -> tf.data.Dataset:
        """Return batches as a `tf.data.Dataset` for `fit`.

        Args:
            first_batch: Number of the first batch, counted over the epochs. Default: 0.
            num_batches: Number of batches. Default: one epoch.
            shard: (i, n): each batch contains only the rows of the i-th of n equal parts. Default:
                all rows.
            service: Address of a tf.data service that prepares the batches, such as
                `"grpc://10.0.0.1:5000"`, or several separated by commas. Default: this process
                prepares them.

        Returns:
            A dataset of `(inputs, next_tokens, weights)`. `inputs` is a dict of int32 ids:
            `"source"`, `(batch, source_length)`, and `"target"`, `(batch, target_length)`.
            `next_tokens`, int32 `(batch, target_length)`, are the targets shifted by one.
            `weights`, float32 `(batch, target_length)`, are 0 at padding and in repeated rows.
        """
        num_batches = self.num_batches if num_batches is None else num_batches
        numbered = self._indices(first_batch).take(num_batches).enumerate(first_batch)

        @without_autograph
        def make(number, batch):
            return self._training_batch(number, *batch, shard)

        if service is None:
            dataset = numbered.map(make)
        else:
            # A service has one worker, which keeps the order. Several services take turns.
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
        options = tf.data.Options()
        # With autotune, `fit` can stall for seconds when an epoch's iterator is destroyed.
        options.autotune.enabled = False
        options.deterministic = True
        dataset = dataset.prefetch(8).with_options(options)
        return dataset.apply(tf.data.experimental.assert_cardinality(num_batches))

    def pairs_of(self, number: int) -> list[int]:
        """Return the indices of the pairs in a batch, given its number."""
        indices, num_pairs, _ = next(iter(self._indices(number)))
        return indices.numpy()[: int(num_pairs)].tolist()

    def _indices(self, first_batch):
        """Return an endless dataset of batches as indices of pairs, from `first_batch` on.

        Its elements are (indices, number of pairs, padded lengths). There is an index for each row;
        if the batch has more rows than pairs, indices are repeated.
        """
        sort_key, splits = tf.constant(self._buckets.sort_key), tf.constant(self._buckets.splits)
        shapes = tf.constant(self._buckets.shapes)

        @without_autograph
        def epoch(number):
            order = _permutation(self.num_pairs, self.seed, number, SHUFFLE_PAIRS)
            order = tf.gather(order, tf.argsort(tf.gather(sort_key, order), stable=True))
            batches = _permutation(self.num_batches, self.seed, number, SHUFFLE_BATCHES)
            start = tf.where(number == first_batch // self.num_batches, first_batch, 0)
            batches = batches[start % self.num_batches :]

            def batch(i):
                indices = tf.gather(order, tf.range(splits[i], splits[i + 1]))
                indices = tf.gather(indices, tf.range(shapes[i, 0]) % tf.size(indices))
                return indices, splits[i + 1] - splits[i], shapes[i, 1:]

            return tf.data.Dataset.from_tensor_slices(batches).map(batch)

        epochs = tf.data.Dataset.range(first_batch // self.num_batches, np.iinfo(np.int64).max)
        return epochs.flat_map(epoch)

    def _training_batch(self, number, indices, num_pairs, lengths, shard):
        """Make the batch of `dataset` with the pairs at `indices`."""
        if self.alpha is None:
            source, target = (
                tf.gather(rows, indices).to_tensor(self._pad_id, shape=tf.stack([-1, length]))
                for rows, length in zip(self._rows, (lengths[0], lengths[1] + 1), strict=True)
            )
        else:
            source, target = tf.numpy_function(
                self._sampled, [number, indices, lengths], [tf.int32, tf.int32]
            )
            source.set_shape([None, None])
            target.set_shape([None, None])
        next_tokens = target[:, 1:]
        is_pair = (tf.range(tf.size(indices)) < num_pairs)[:, None]
        weights = tf.cast((next_tokens != self._pad_id) & is_pair, "float32")
        batch = ({"source": source, "target": target[:, :-1]}, next_tokens, weights)
        index, count = shard
        size = tf.size(indices) // count
        return tf.nest.map_structure(lambda x: x[index * size : (index + 1) * size], batch)

    def _row(self, ids, side):
        """Make a source `ids … end` (side 0) or a target `start ids … end` (side 1)."""
        tokenizer = self._sides[side]
        row = ended(ids, self.max_lengths[side], tokenizer.end_id)
        return [tokenizer.start_id, *row] if side else row

    def _sampled(self, number, indices, lengths):
        """Make padded sources and targets of a batch, with segmentations drawn at random."""
        # SentencePiece can sample too, but its random numbers cannot be seeded for each batch.
        rng = np.random.default_rng((self.seed, int(number)))
        return tuple(self._sampled_side(side, indices, lengths[side], rng) for side in (0, 1))

    def _sampled_side(self, side, indices, length, rng):
        rows = [self._row(self._sample(self.pairs[i][side], side, rng), side) for i in indices]
        sampled_length = max(map(len, rows)) - side
        if self.few_shapes:
            sampled_length = round_up(max(sampled_length, length), self.max_lengths[side])
        return pad(rows, self._pad_id, int(sampled_length) + side)

    def _sample(self, text, side, rng):
        """Draw a segmentation of a text, with its probability to the power of alpha."""
        segmentations = self._sides[side].n_best(text, NUM_SEGMENTATIONS)
        scores = self.alpha * np.array([score for _, score in segmentations])
        cumulative = np.cumsum(np.exp(scores - scores.max()))
        index = np.searchsorted(cumulative, rng.random() * cumulative[-1])
        return segmentations[int(index)][0]


def _ragged(rows):
    flat = np.fromiter((i for row in rows for i in row), np.int32)
    return tf.RaggedTensor.from_row_lengths(flat, np.array([len(row) for row in rows], np.int64))


def _permutation(size, seed, epoch, purpose):
    """Return a random permutation that depends on seed, epoch and purpose only."""
    key = tf.stack([tf.cast(seed, tf.int64), 2 * epoch + purpose])
    return tf.random.experimental.stateless_shuffle(tf.range(size), key)
