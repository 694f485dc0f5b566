"""Reading and splitting pairs; errors name the line."""

import gzip
import json
import re
import unicodedata

import pytest

from seq2lite.recipes import ask, translate
from seq2lite.recipes.data.normalize import comparable
from seq2lite.recipes.data.options import DataOptions
from seq2lite.recipes.data.pairs import Pairs, read_pairs
from seq2lite.recipes.data.samples import DOCSTRINGS_TRAIN, G2P_TRAIN, VSCODE_TRAIN
from seq2lite.recipes.data.splits import for_training, hold_out, read_splits
from seq2lite.recipes.data.text_files import DataError
from seq2lite.recipes.fetch.split import NEAR, find_leaks


@pytest.mark.parametrize(
    ("train", "sizes", "near"),
    [
        (VSCODE_TRAIN, (12722, 233), NEAR),
        (DOCSTRINGS_TRAIN, (3940, 300), NEAR),
        (G2P_TRAIN, (3600, 400), None),
    ],
)
def test_package_data_is_complete_and_no_held_out_text_is_nearly_in_training(train, sizes, near):
    parts = [read_pairs(path) for path in (train, *DataOptions(train=(str(train),)).held_out)]
    assert tuple(map(len, parts)) == sizes
    assert not find_leaks(parts[1], parts[0], near)
    licence = train.name.replace(".train.tsv.gz", ".LICENSE.txt")
    assert train.with_name(licence).is_file()


def test_held_out_sources_are_not_in_training_in_another_case():
    pairs = Pairs([(f"{'xyz'[i % 3]}{'abcdefghij' * (1 + i // 30)}", str(i)) for i in range(900)])
    for source, target in pairs[:]:
        pairs.append((source.upper() + " 7!", f"{target} in another case"))
        pairs.lines.append(len(pairs))
    train, held_out = hold_out(pairs)
    assert sorted([*train, *held_out]) == sorted(pairs)
    sources = [{comparable(source) for source, _ in part} for part in (train, held_out)]
    assert not sources[0] & sources[1]
    assert len(sources[1]) == 5  # of 90
    assert held_out.lines == [i + 1 for i, pair in enumerate(pairs) if pair in held_out]
    # One more source changes at most one held-out source.
    grown = Pairs([*pairs, ("another", "one")])
    assert len({s for s, _ in hold_out(grown)[1]} - {s for s, _ in held_out}) <= 1


def test_pairs_of_a_group_are_held_out_together():
    groups = [f"text {'abcdefghijklmnopqrstuvwxyz'[i // 4]}" for i in range(104)]
    pairs = Pairs([(f"{g}{'wxyz'[i % 4]}", "") for i, g in enumerate(groups)], groups=groups)
    train, held_out = hold_out(pairs)
    assert not {*train.groups} & {*held_out.groups}
    assert (len(train), len(held_out)) == (96, 8)
    assert all(
        s.startswith(g)
        for part in (train, held_out)
        for (s, _), g in zip(part, part.groups, strict=True)
    )


def test_no_text_of_test_or_held_out_data_is_trained_on(tmp_path):
    """Even if the questions on the text differ."""

    def squad(name, cities, answer):
        paragraphs = [
            {"context": f"{city} is big.", "qas": [{"question": f"{answer}?", "answers": [
                {"text": answer, "answer_start": f"{city} is big.".index(answer)}]}]}
            for city in cities
        ]  # fmt: skip
        return str(write(tmp_path / name, [json.dumps({"data": [{"paragraphs": paragraphs}]})]))

    cities = [f"City{letter}" for letter in "ABCDEFGHIJKL"]
    train = squad("train.json", cities, "big")
    valid, test = squad("valid.json", cities[:3], "is"), squad("test.json", cities[3:7], "is")
    for config in (
        ask.Config.of(train=(train,), test=(test,)),
        ask.Config.of(train=(train,), valid=(valid,), test=(test,)),
    ):
        # Without `valid`, one more text is held out of the training data.
        trained, held_out, tests = read_splits(config.data, ask.read_questions)
        known = {*held_out.groups, *tests[test].groups}
        assert trained and not known & {*trained.groups}
        assert trained.dropped["held-out text"] == 12 - len(trained) - (not config.data.valid)


def test_held_out_pairs_are_unique_and_not_in_a_test(tmp_path):
    mine, test = tmp_path / "mine.tsv", tmp_path / "test.tsv"
    lines = [f"{a}{b}\t{b}\n" for a in "abcdefgh" for b in "ijklmnop"]
    _, held_out, _ = read_splits(translate.Config.of(train=(str(write(mine, lines)),)).data)
    write(test, [f"{source}\tanother\n" for source, _ in held_out[:2]])
    config = translate.Config.of(train=(str(write(mine, lines * 3)),), test=(str(test),))
    train, held_out, tests = read_splits(config.data)
    known = {source for source, _ in tests[str(test)]}
    assert not known & {source for source, _ in [*held_out, *train]}
    assert len({*held_out}) == len(held_out) and len(train) + len(held_out) == 62
    assert train.dropped == {"duplicate": 128, "held-out source": 2}


def write(path, lines):
    path.write_text("".join(lines), "utf-8")
    return path


def test_one_source_cannot_be_split():
    with pytest.raises(
        DataError, match=r"must contain several sources.* Received: a single source"
    ):
        hold_out(Pairs([("Open", "열기"), ("open.", "열다")]))
    with pytest.raises(DataError, match=r"must contain several texts.* Received: a single text"):
        hold_out(Pairs([("a", "b"), ("c", "d")], groups=["e", "e"]))


def test_a_file_of_pairs_is_enough(tmp_path):
    mine = tmp_path / "mine.tsv"
    mine.write_text("".join(f"{a}{b}\t{b}{a}\n" for a in "abcdefgh" for b in "ijklmnop"), "utf-8")
    train, valid, tests = read_splits(translate.Config.of(train=(str(mine),)).data)
    assert (len(train), len(valid)) == (60, 4)
    assert tests == {f"held-out part of {mine}": valid}
    assert not {source for source, _ in train} & {source for source, _ in valid}


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.tsv.gz"])
def test_two_columns_are_read_in_nfc_plain_or_gzip(tmp_path, name):
    korean = unicodedata.normalize("NFD", "파일")
    text = f"\ufeffOpen\t 열기 \torigin\r\n\r\n\nFile\t{korean}\n".encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert read_pairs(path) == [("Open", "열기"), ("File", "파일")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must contain text. Received: an empty file"),
        (b"\n \n", "must contain text. Received: an empty file"),
        (
            b"a\t\n\tb\n\t\n\n",
            "must contain pairs of source and target. Received: 3 lines with an empty side",
        ),
        (b"a\tb\nonly one\n", "line 2 must be a source and a target separated by a tab"),
        (b"a\tb\n\xc0\xc1\td\n", "line 2 must be UTF-8. Received: b'\\xc0\\xc1\\td'"),
        ("a\tb\nc\n".encode("utf-16"), "line 2 must be a source and a target"),
        ("a\tb\n".encode("utf-16") + b"c", "line 2 must be UTF-16"),
        ("a\tb\n\uac00\tc\n".encode("cp949"), "line 2 must be UTF-8"),
        (b"a\tb\nc\0\td\n", "line 2 must not contain a NUL"),
        (b"a\tb\rc\td\r", "line 1 must not contain a carriage return"),
    ],
)
def test_a_bad_line_is_named(tmp_path, content, message):
    path = tmp_path / "pairs.tsv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        read_pairs(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_is_no_text(tmp_path, encoding):
    """At the beginning of a file and of the parts that were joined, on each side."""
    korean = unicodedata.normalize("NFD", "파일")
    text = f"\ufeffOpen\t\ufeff열기\ufeff\r\n\ufeffFile \ufeff\t {korean}\n"
    if encoding in ("utf-8-sig", "utf-16"):
        text = text.removeprefix("\ufeff")
    expected = [("Open", "열기"), ("File", "파일")]
    path = tmp_path / "pairs.tsv"
    path.write_bytes(text.encode(encoding))
    assert read_pairs(path) == expected
    sides = [tmp_path / "my.en", tmp_path / "my.ko"]
    for i, side in enumerate(sides):
        side.write_bytes("\n".join(x.split("\t")[i] for x in text.splitlines()).encode(encoding))
    assert read_pairs(*sides) == expected


def test_a_missing_file_a_folder_and_a_broken_gzip_are_named(tmp_path):
    with pytest.raises(DataError, match=r"must exist. Received: .*nowhere.tsv"):
        read_pairs(tmp_path / "nowhere.tsv")
    with pytest.raises(DataError, match="must be a file, or a folder that the library `datasets`"):
        read_pairs(tmp_path)
    broken = tmp_path / "pairs.tsv.gz"
    for content in (b"a\tb\n", gzip.compress(b"a\tb\n" * 99)[:-9]):
        broken.write_bytes(content)
        with pytest.raises(DataError, match="must be a readable gzip file, as its name"):
            read_pairs(broken)


def test_two_files_of_lines_are_pairs(tmp_path):
    source, target = tmp_path / "a.en", tmp_path / "a.ko.gz"
    source.write_text("Open\n\nFile a\tb\n", "utf-8")
    target.write_bytes(gzip.compress("열기\nx\n파일\n".encode()))
    pairs = read_pairs(source, target)
    assert pairs == [("Open", "열기"), ("File a\tb", "파일")]
    assert pairs.lines == [1, 3] and pairs.dropped == {"empty side": 1}
    target.write_bytes(gzip.compress("열기\nx\n파일\n하나\n".encode()))
    with pytest.raises(DataError, match=r"line 4 has no counterpart. Received: 3 and 4 lines"):
        read_pairs(source, target)


def test_dropped_lines_are_counted(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("a\tb\nc\t\na\tb\nd\te\na\tz\n\tf\n", "utf-8")
    pairs = read_pairs(path)
    assert pairs == [("a", "b"), ("a", "b"), ("d", "e"), ("a", "z")]
    assert pairs.lines == [1, 3, 4, 5]
    kept = for_training(pairs, [("d", "other")])
    assert kept == [("a", "b"), ("a", "z")] and kept.lines == [1, 5]
    assert kept.dropped == {"empty side": 2, "duplicate": 1, "held-out source": 1}


def test_training_on_held_out_pairs_only_is_refused():
    with pytest.raises(DataError, match="must contain pairs whose sources are not held out"):
        for_training(Pairs([("a", "b")]), [("a", "c")])
