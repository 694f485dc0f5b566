"""The batches of a training: each is a function of the seed and of its number alone.

So a training that was stopped goes on with the very batch that would have come next, several
processes agree on a batch without a word, and a loss that is not finite has a batch with a name.
"""

import sys

import numpy as np
import tensorflow as tf

from . import distribution

NUM_SEGMENTATIONS = 64

# Lengths that batches are padded to where each shape of a batch costs a compilation.
MORE_PADDING = 0.02  # places, as a part of all, that may be added to have fewer shapes still
BOUNDS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)


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
        >>> from seq2lite.recipes.batches import Batches
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


def _rounded_up(lengths, limits):
    """To the next of BOUNDS, or multiple of the last of them, but no further than the limit."""
    bounds = np.array(
        [*BOUNDS, *range(2 * BOUNDS[-1], int(lengths.max()) + BOUNDS[-1], BOUNDS[-1])]
    )
    return np.minimum(bounds[np.searchsorted(bounds, lengths)], limits).astype(np.int32)


def _of_few_shapes(lengths):
    """Longer, so that fewer pairs of lengths occur: the cheapest two become one, again and again.

    Args:
        lengths: int32 `(2, pairs)`.

    Returns:
        The same, with up to MORE_PADDING more places.
    """
    shapes, shape_of, counts = np.unique(lengths, axis=1, return_inverse=True, return_counts=True)
    merged = shapes.copy()  # what each of them has become
    allowed = MORE_PADDING * lengths.sum()
    while True:
        kept, member = np.unique(merged, axis=1, return_inverse=True)
        sizes = np.bincount(member.ravel(), counts)
        joined = np.maximum(kept[:, :, None], kept[:, None, :])
        # Places of each pair of shapes as one, less those of both.
        places = sizes * kept.sum(axis=0)
        added = (sizes[:, None] + sizes) * joined.sum(axis=0) - places[:, None] - places
        np.fill_diagonal(added, np.inf)
        i, j = np.unravel_index(np.argmin(added), added.shape)
        if added[i, j] > allowed:
            return merged[:, shape_of.ravel()]
        allowed -= added[i, j]
        is_joined = np.isin(member.ravel(), (i, j))
        merged[:, is_joined] = joined[:, i, j][:, None]


def _best_cut(lengths, batch_tokens, rows_multiple, fixed_rows):
    """The key that pairs are sorted by, and `_cut` of them, so that the least is padding.

    Pairs are put into classes by the length of the source, as many pairs in each, and sorted by the
    target in each class: with few classes sources of one batch differ, with many targets do.
    """
    num_pairs = lengths.shape[1]
    counts = np.bincount(lengths[0])
    num_shorter = (np.cumsum(counts) - counts)[lengths[0]]  # pairs with a shorter source, of each
    least = None
    for num_classes in (1, 2, 4, 8, 16, 32, 64, num_pairs):
        classes = num_shorter * num_classes // num_pairs
        # The source last: whoever is shuffled among those of one key, the shapes stay.
        sizes = lengths.max(axis=1).astype(np.int64) + 1
        key = (classes * sizes[1] + lengths[1]) * sizes[0] + lengths[0]
        splits, shapes = _cut(
            lengths[:, np.argsort(key, kind="stable")], batch_tokens, rows_multiple, fixed_rows
        )
        places = int((shapes[:, 0:1] * shapes[:, 1:]).sum())
        if least is None or places < least[0]:
            least = places, (key, splits, shapes)
    return least[1]


def _cut(lengths, batch_tokens, rows_multiple, fixed_rows):
    """Where to cut pairs that are sorted by length, so that each batch has about `batch_tokens`.

    Args:
        lengths: `(2, pairs)`.
        batch_tokens: Most places of a batch, of its longer side.
        rows_multiple: What the number of rows is a multiple of.
        fixed_rows: Whether batches of one shape have one number of rows.

    Returns:
        int32 `(batches + 1,)`, where batches begin and end; int32 `(batches, 3)`, rows, source
        length and target length of each.
    """

    def most_rows(source, target):
        return max(batch_tokens // max(source, target) // rows_multiple, 1) * rows_multiple

    splits, shapes = [0], []
    rows = longest_source = longest_target = 0
    for source, target in [*zip(*lengths.tolist(), strict=True), (None, None)]:
        if source is not None:
            grown = max(source, longest_source), max(target, longest_target)
            is_other = fixed_rows and grown != (longest_source, longest_target)
        if rows and (source is None or is_other or rows >= most_rows(*grown)):
            if fixed_rows:
                full = most_rows(longest_source, longest_target)
            else:
                full = -(-rows // rows_multiple) * rows_multiple
            shapes.append((full, longest_source, longest_target))
            splits.append(splits[-1] + rows)
            rows, grown = 0, (source, target)
        rows += 1
        longest_source, longest_target = grown
    return np.array(splits, np.int32), np.array(shapes, np.int32)


def _shuffled(size, seed, epoch, what):
    key = tf.stack([tf.cast(seed, tf.int64), 2 * epoch + what])
    return tf.random.experimental.stateless_shuffle(tf.range(size), key)


def make_batches(train, valid, tests, tokenizer, training, max_lengths):
    """The batches of a recipe; prints what is in them, and what of the tests will not be scored.

    Args:
        train: `Pairs` to train on.
        valid: `Pairs` held out.
        tests: dict, name to `Pairs` to score in the end; `valid` may be among them.
        tokenizer: A `Tokenizer`.
        training: A `Training`.
        max_lengths: Most tokens of a source and of a target.

    Returns:
        Two `Batches`, of `train` and of `valid`.

    Raises:
        ValueError: So few batches train that no weight would change.
    """
    batches = training_batches(train, tokenizer, training, max_lengths)
    held_out = Batches(valid, tokenizer, **_shape(training, max_lengths))
    tests = [pairs for pairs in tests.values() if pairs.origin != valid.origin]
    print("\n".join([*describe(batches, held_out), *left_out(tests)]), flush=True)
    if batches.num_cut or held_out.num_cut:
        print(
            f"warning: {batches.num_cut:,} of them and {held_out.num_cut:,} held out are longer "
            f"than {max_lengths[0]} source or {max_lengths[1]} target tokens, and are cut there",
            file=sys.stderr,
        )
    for pairs in tests:
        sources = tokenizer.encode([source for source, _ in pairs])
        if num_cut := sum(len(ids) + 1 > max_lengths[0] for ids in sources):
            print(
                f"warning: {num_cut:,} of the sources of {pairs.origin} are longer than {max_lengths[0]} tokens, "
                "and are cut there",
                file=sys.stderr,
            )
    return batches, held_out


def training_batches(train, tokenizer, training, max_lengths):
    """The `Batches` to train on; raises ValueError where they are too few to change a weight."""
    options = {"seed": training.seed, "alpha": training.alpha or None}
    batches = Batches(train, tokenizer, **options, **_shape(training, max_lengths))
    num_batches = training.epochs * batches.num_batches
    # The first of all has a learning rate of 0.
    for name, least in (("epochs", 2), ("accumulate", training.accumulate)):
        if num_batches < least:
            raise ValueError(
                f"`{name}` must let the training change weights, for which it wants {least} batches or more. "
                f"Received: {getattr(training, name)}, with which there are {num_batches} in all"
            )
    return batches


def _shape(training, max_lengths):
    """What shapes batches, of training and held-out text alike: options of `Batches`."""
    options = {"max_length": max_lengths, "batch_tokens": training.batch_tokens}
    return options | distribution.batch_options()


def describe(train, valid):
    """Lines that say what two `Batches`, to train on and held out, are made of."""
    yield (
        f"{train.num_pairs:,} pairs to train on, {valid.num_pairs:,} held out; "
        f"{train.num_batches:,} batches an epoch, {train.padding:.1%} of them padding"
    )
    yield from left_out([train.pairs, valid.pairs])


def left_out(parts):
    """Lines that say what several `Pairs` left out of their files, and why."""
    for pairs in parts:
        for why, count in pairs.dropped.items():
            yield f"{pairs.origin}: {count:,} lines left out for {why}"
