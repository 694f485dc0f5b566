"""Data files: what is read of a good one, and which line is named of a bad one."""

import gzip
import re
import unicodedata

import pytest

from seq2lite.recipes.pairs import (
    VSCODE_TRAIN,
    VSCODE_VALID,
    DataError,
    Pairs,
    for_training,
    read_pairs,
)


def test_the_data_of_the_package_is_complete():
    train, valid = read_pairs(VSCODE_TRAIN), read_pairs(VSCODE_VALID)
    assert (len(train), len(valid)) == (12788, 233)
    assert not {source for source, _ in train} & {source for source, _ in valid}
    assert VSCODE_TRAIN.with_name("vscode.en-ko.MIT.LICENSE.txt").is_file()


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
        (b"", "must hold text. Received: an empty file"),
        (b"\n \n", "must hold text. Received: an empty file"),
        (b"a\t\n\tb\n", "must hold a pair a line. Received: 2 with an empty side"),
        (b"a\tb\nonly one\n", "line 2: must be a source and a target with a tab between them"),
        (b"a\tb\n\xc0\xc1\td\n", "line 2: must be UTF-8. Received: b'\\xc0\\xc1\\td'"),
        ("a\tb\n".encode("utf-16"), "line 1: must be UTF-8"),
        (b"a\tb\nc\0\td\n", "line 2: must not hold a NUL"),
        (b"a\tb\rc\td\r", "line 1: must not hold a carriage return"),
    ],
)
def test_a_bad_line_is_named(tmp_path, content, message):
    path = tmp_path / "pairs.tsv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        read_pairs(path)
    assert str(path) in str(error.value)


def test_a_missing_file_a_folder_and_a_broken_gzip_are_named(tmp_path):
    with pytest.raises(DataError, match=r"must exist. Received: .*nowhere.tsv"):
        read_pairs(tmp_path / "nowhere.tsv")
    with pytest.raises(DataError, match="must exist"):
        read_pairs(tmp_path)
    broken = tmp_path / "pairs.tsv.gz"
    for content in (b"a\tb\n", gzip.compress(b"a\tb\n" * 99)[:-9]):
        broken.write_bytes(content)
        with pytest.raises(DataError, match="must be readable, and gzip as its name says"):
            read_pairs(broken)


def test_two_files_of_lines_are_pairs(tmp_path):
    source, target = tmp_path / "a.en", tmp_path / "a.ko.gz"
    source.write_text("Open\n\nFile a\tb\n", "utf-8")
    target.write_bytes(gzip.compress("열기\nx\n파일\n".encode()))
    pairs = read_pairs(source, target)
    assert pairs == [("Open", "열기"), ("File a\tb", "파일")]
    assert pairs.lines == [1, 3] and pairs.dropped == {"an empty side": 1}
    target.write_bytes(gzip.compress("열기\nx\n파일\n하나\n".encode()))
    with pytest.raises(DataError, match=r"line 4 has no counterpart. Received: 3 and 4 lines"):
        read_pairs(source, target)


def test_what_is_left_out_is_counted(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("a\tb\nc\t\na\tb\nd\te\na\tz\n\tf\n", "utf-8")
    pairs = read_pairs(path)
    assert pairs == [("a", "b"), ("a", "b"), ("d", "e"), ("a", "z")]
    assert pairs.lines == [1, 3, 4, 5]
    kept = for_training(pairs, [("d", "other")])
    assert kept == [("a", "b"), ("a", "z")] and kept.lines == [1, 5]
    assert kept.dropped == {"an empty side": 2, "a duplicate": 1, "a held-out source": 1}


def test_training_on_what_is_held_out_is_refused():
    with pytest.raises(DataError, match="must hold pairs whose sources are not held out"):
        for_training(Pairs([("a", "b")]), [("a", "c")])
