"""No held-out text is in the training set, not even nearly."""

import difflib
import random

import pytest

from seq2lite.recipes.data.normalize import comparable
from seq2lite.recipes.fetch import split
from seq2lite.recipes.fetch.errors import FetchError

WORDS = [
    "open",
    "close",
    "file",
    "folder",
    "print",
    "window",
    "save",
    "image",
    "delete",
    "move",
    "line",
    "font",
    "color",
    "page",
]


def corpus():
    """600 sentences; half of them vary another one: case, marks, numbers, an additional word."""
    draw = random.Random(1)
    rows = []
    for i in range(300):
        words = draw.choices(WORDS, k=7)
        source, target = " ".join(words), " ".join(word[::-1] + "o" for word in words)
        rows.append((source, target, "mo"))
        variants = [
            (f"_{source.title()}… {i}", f"{target} ist neu", "mo"),
            (f"{source} now", f"{target.upper()}!", "mo"),
            (" ".join(draw.choices(WORDS, k=7)), f"({target})", "mo"),
            (f"now {source}", f"{target} so", "mo"),
        ]
        rows.append(variants[i % 4])
    return rows


def leaks_by_brute_force(parts):
    """Pairs of a held-out and a training text of which 90% is the same, letter by letter."""
    found = []
    for side in (0, 1):
        letters = {
            name: {"".join(filter(str.isalpha, row[side].casefold())) for row in part}
            for name, part in parts.items()
        }
        for one in letters["test"] | letters["valid"]:
            match = difflib.SequenceMatcher(None, b=one, autojunk=False)
            for other in letters["train"]:
                match.set_seq1(other)
                if match.quick_ratio() > 0.9 and match.ratio() > 0.9:
                    found.append((one, other))
    return found


def test_no_held_out_text_is_in_train_nor_nearly():
    parts = split.split(corpus(), {"test": 20, "valid": 20})
    assert len(parts["train"]) > 400 and len(parts["test"]) == 20
    assert not leaks_by_brute_force(parts)
    assert not split.find_leaks(parts["valid"], parts["test"])


@pytest.mark.parametrize("part", ["_similar", "_connected_groups"])
def test_a_split_that_leaks_is_noticed(monkeypatch, part):
    """Each half of the work is needed for the test above to pass."""
    broken = {
        "_similar": lambda texts, held_out, near: texts & held_out,
        "_connected_groups": lambda rows, group: [[i] for i in range(len(rows))],
    }
    monkeypatch.setattr(split, part, broken[part])
    if part == "_connected_groups":
        monkeypatch.setattr(split, "find_leaks", lambda *_: ())
    assert leaks_by_brute_force(split.split(corpus(), {"test": 20, "valid": 20}))


def test_rows_of_a_group_stay_together_and_the_order_of_rows_changes_nothing():
    rows = [(*row[:2], str(i // 3)) for i, row in enumerate(corpus())]
    options = {"sizes": {"test": 30}, "near": None, "group": lambda row: row[2]}
    parts = split.split(rows, **options)
    assert not {row[2] for row in parts["test"]} & {row[2] for row in parts["train"]}
    assert parts == split.split(rows[::-1], **options)
    assert parts != split.split(rows, **options, seed=2)


def test_too_few_rows_are_an_error():
    with pytest.raises(FetchError, match=r"hold out 9,999 for test\. Received: \d+ rows, of which"):
        split.split(corpus(), {"test": 9999})


def test_a_split_contains_eligible_rows_and_no_large_group():
    rows = [(f"{word} {other}", f"{word}-{other}") for word in WORDS for other in WORDS]
    rows += [(f"{word} {word} {word}", "the same") for word in WORDS]
    parts = split.split(
        rows, {"test": 9}, near=None, eligible=lambda row, name: row[0].startswith("o")
    )
    assert len(parts["test"]) == 9 and all(row[0].startswith("o") for row in parts["test"])
    parts = split.split(rows, {"test": 100}, near=None)
    assert not any(row[1] == "the same" for row in parts["test"])


def test_the_fast_search_for_similar_texts_finds_those_of_an_exhaustive_one():
    texts = [comparable(row[0]) for row in corpus()]
    held_out, rest = set(texts[::7]), set(texts) - set(texts[::7])
    slow = {a for a in rest if any(split.jaccard_similarity(a, b) >= split.NEAR for b in held_out)}
    assert slow and split._similar(rest, held_out, split.NEAR) == slow
