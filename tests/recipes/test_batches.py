"""Batches: all of the text, in an order that depends on seed and number only."""

import collections

import numpy as np
import pytest

from seq2lite.recipes import summarize, translate
from seq2lite.recipes.data.batches import Batches
from seq2lite.recipes.data.bucketing import MAX_ADDED_PADDING, merge_shapes
from seq2lite.recipes.data.pairs import Pairs
from seq2lite.recipes.data.prepare import make_data
from seq2lite.recipes.data.tokenizers import learn_tokenizer


def rows_of(dataset):
    """Each pair as (source ids, target ids, next ids), without padding."""
    for inputs, following, weight in dataset.as_numpy_iterator():
        assert inputs["target"].shape == following.shape == weight.shape
        for source, target, after, counted in zip(
            inputs["source"], inputs["target"], following, weight, strict=True
        ):
            n = int(counted.sum())
            assert counted[:n].all() and not counted[n:].any()
            if n:  # a repeated row counts for nothing
                assert not after[n:].any() and not source[(source != 0).sum() :].any()
                yield tuple(source[source != 0]), tuple(target[:n]), tuple(after[:n])


def expected_rows(pairs, *tokenizers):
    """Rows of the pairs by one tokenizer, or by one for each side."""
    columns = zip(tokenizers * (3 - len(tokenizers)), zip(*pairs, strict=True), strict=True)
    columns = (tokenizer.encode(list(column)) for tokenizer, column in columns)
    return sorted(((*s, 3), (2, *t), (*t, 3)) for s, t in zip(*columns, strict=True))


@pytest.mark.parametrize("options", [{}, {"few_shapes": True}, {"rows_multiple": 4}])
def test_an_epoch_holds_each_pair_once_and_predicts_the_next_token(pairs, tokenizer, options):
    batches = Batches(pairs, tokenizer, max_length=400, batch_tokens=1024, seed=1, **options)
    assert batches.num_cut == 0
    first = list(rows_of(batches.dataset()))
    second = list(rows_of(batches.dataset(batches.num_batches)))
    assert sorted(first) == sorted(second) == expected_rows(pairs, tokenizer)
    assert first != second  # shuffled again
    assert sum(len(s) + len(t) for s, _, t in first) == batches.num_tokens


def test_a_list_of_pairs_gives_the_batches_of_pairs(tokenizer):
    pairs = [("Open File", "파일 열기"), ("Close", "닫기")]
    options = {"max_length": 40, "batch_tokens": 80}
    batches, expected = (Batches(p, tokenizer, **options) for p in (pairs, Pairs(pairs)))
    assert sorted(rows_of(batches.dataset())) == sorted(rows_of(expected.dataset()))
    assert (batches.lines, batches.origin) == (expected.lines, expected.origin)


@pytest.mark.parametrize("alpha", [None, 0.3])
def test_any_batch_is_the_same_whichever_came_first(pairs, tokenizer, alpha):
    batches = Batches(
        Pairs(pairs[:60]), tokenizer, max_length=48, batch_tokens=256, seed=3, alpha=alpha
    )
    total = 2 * batches.num_batches + 3  # over the ends of epochs
    whole = list(batches.dataset(0, total).as_numpy_iterator())
    again = Batches(
        Pairs(pairs[:60]), tokenizer, max_length=48, batch_tokens=256, seed=3, alpha=alpha
    )
    for first in (1, batches.num_batches - 1, batches.num_batches, total - 1):
        rest = list(again.dataset(first, total - first).as_numpy_iterator())
        assert len(rest) == total - first
        for found, expected in zip(rest, whole[first:], strict=True):
            np.testing.assert_array_equal(found[1], expected[1])
            np.testing.assert_array_equal(found[0]["source"], expected[0]["source"])


@pytest.mark.parametrize("alpha", [None, 1e3])  # so large: the most probable segmentation
def test_source_and_target_may_have_a_tokenizer_each(pairs, tokenizer, alpha):
    other = learn_tokenizer([target for _, target in pairs], 900)
    both = tokenizer, other
    batches = Batches(
        Pairs(pairs[:40]), both, max_length=400, batch_tokens=512, seed=1, alpha=alpha
    )
    found = sorted(rows_of(batches.dataset()))
    assert found == expected_rows(pairs[:40], *both) != expected_rows(pairs[:40], tokenizer)


def test_another_seed_is_another_order(pairs, tokenizer):
    one, other = (
        list(rows_of(Batches(pairs, tokenizer, max_length=48, batch_tokens=512, seed=s).dataset()))
        for s in (1, 2)
    )
    assert one != other and sorted(one) == sorted(other)


def test_a_batch_knows_its_pairs(pairs, tokenizer):
    batches = Batches(pairs, tokenizer, max_length=400, batch_tokens=512, seed=5)
    for number in (0, 7, batches.num_batches + 2):
        rows = list(rows_of(batches.dataset(number, 1)))
        named = [pairs[i] for i in batches.pairs_of(number)]
        assert sorted(rows) == expected_rows(named, tokenizer)


def test_shards_are_the_rows_of_the_joint_batch(pairs, tokenizer):
    batches = Batches(pairs, tokenizer, max_length=96, batch_tokens=512, seed=5, rows_multiple=2)
    shards = [batches.dataset(3, 4, shard=(i, 2)).as_numpy_iterator() for i in (0, 1)]
    for whole, *parts in zip(batches.dataset(3, 4).as_numpy_iterator(), *shards, strict=True):
        for place in (1, 2):
            joint = np.concatenate([part[place] for part in parts])
            np.testing.assert_array_equal(joint, whole[place])
        assert len(parts[0][1]) == len(parts[1][1])


def test_sampled_segmentations_are_other_ways_to_write_the_same_text(pairs, tokenizer):
    pairs = Pairs(pairs[:40])
    batches = Batches(pairs, tokenizer, max_length=400, batch_tokens=512, seed=5, alpha=0.2)
    epochs = [sorted(rows_of(batches.dataset(e * batches.num_batches)), key=len) for e in range(3)]
    texts = [
        sorted(tokenizer.decode([[int(i) for i in t[:-1]] for _, _, t in epoch]))
        for epoch in epochs
    ]
    assert texts[0] == texts[1] == texts[2] == sorted(target for _, target in pairs)
    assert len({tuple(sorted(epoch)) for epoch in epochs}) == 3
    most_probable = expected_rows(pairs, tokenizer)
    same = [sum(row in most_probable for row in epoch) / len(pairs) for epoch in epochs]
    assert max(same) < 0.5


def test_dropped_and_cut_test_pairs_are_reported(tokenizer, capsys):
    train, valid = Pairs([("a", "b")] * 3), Pairs([("c", "d")])
    test = Pairs([("long " * 50, "길다")], origin="test.tsv", dropped={"empty side": 2})
    tests = {"test": test, "valid": valid}
    config = summarize.Config.of(batch_tokens=64, max_source_length=12, max_target_length=8)
    make_data(config, train, valid, tests, tokenizer)
    printed = capsys.readouterr()
    assert "test.tsv: 2 lines dropped (empty side)" in printed.out
    assert "warning: 1 sources of test.tsv are longer than 12 tokens and are cut\n" in printed.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"epochs": 1},
            r"`epochs` must give at least 2 batches in all.* Received: epochs=1, with 1 batches",
        ),
        (
            {"accumulate": 9},
            r"`accumulate` must give at least 9 batches in all.* Received: accumulate=9, with 8 batches",
        ),
    ],
)
def test_a_training_that_would_change_no_weight_is_refused(tokenizer, options, message):
    pairs = Pairs([("a", "b")])
    with pytest.raises(ValueError, match=message):
        make_data(translate.Config.of(max_length=8, **options), pairs, pairs, {}, tokenizer)


def test_a_long_pair_is_cut_and_counted(tokenizer):
    pairs = Pairs([("short", "짧다"), ("long " * 50, "길다"), ("x", "길다 " * 50)])
    batches = Batches(pairs, tokenizer, max_length=(12, 8), batch_tokens=512)
    assert batches.num_cut == 2
    found = list(rows_of(batches.dataset()))
    assert max(len(s) for s, _, _ in found) == 12 and max(len(t) for _, _, t in found) == 8
    assert all(source[-1] == 3 and after[-1] == 3 for source, _, after in found)
    whole = tokenizer.encode(["long " * 50])[0]
    assert (*whole[:11], 3) in [source for source, _, _ in found]


def test_batches_hold_little_padding_and_no_more_than_they_may(pairs, tokenizer):
    tokens = places = 0
    batches = Batches(Pairs(pairs * 12), tokenizer, max_length=96, batch_tokens=1024, seed=2)
    assert len(list(batches.dataset())) == batches.num_batches
    for inputs, following, _ in batches.dataset().as_numpy_iterator():
        assert max(inputs["source"].size, following.size) <= 1024
        tokens += np.count_nonzero(inputs["source"]) + np.count_nonzero(following)
        places += inputs["source"].size + following.size
    assert batches.padding == pytest.approx(1 - tokens / places)
    assert batches.padding < 0.1


def test_shapes_become_one_where_that_costs_little():
    chance = np.random.default_rng(4)
    lengths = chance.choice(
        [8, 12, 16, 24, 32, 96], (2, 5000), p=[0.4, 0.3, 0.2, 0.08, 0.015, 0.005]
    )
    lengths = lengths.astype(np.int32)
    found = merge_shapes(lengths)
    assert found.dtype == np.int32 and (found >= lengths).all() and (found > lengths).any()
    assert found.sum() <= (1 + MAX_ADDED_PADDING) * lengths.sum()
    kept = np.unique(found, axis=1)
    assert kept.shape[1] < 0.7 * np.unique(lengths, axis=1).shape[1]
    # Pairs of one shape stay of one.
    assert np.unique([*lengths, *found], axis=1).shape[1] == np.unique(lengths, axis=1).shape[1]
    one = np.full((2, 7), 8, np.int32)
    np.testing.assert_array_equal(merge_shapes(one), one)


def test_few_shapes_are_few(pairs, tokenizer):
    options = {"max_length": 96, "batch_tokens": 1024, "seed": 2}
    shapes = {
        few: collections.Counter(
            (inputs["source"].shape, following.shape)
            for inputs, following, _ in Batches(
                Pairs(pairs * 12), tokenizer, few_shapes=few, **options
            )
            .dataset()
            .as_numpy_iterator()
        )
        for few in (False, True)
    }
    assert len(shapes[True]) < 0.5 * len(shapes[False])
    rows = collections.defaultdict(set)
    for (source, target), _ in shapes[True].items():
        rows[source[1], target[1]].add(source[0])
    assert all(len(sizes) == 1 for sizes in rows.values())
