"""Data files: what is read of a good one, and which line is named of a bad one."""

import gzip
import re
import unicodedata

import pytest

from seq2lite.recipes.pairs import VSCODE_TRAIN, VSCODE_VALID, DataError, read_pairs


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
        (b"", "must hold a pair a line. Received: an empty file"),
        (b"\n \n", "must hold a pair a line. Received: an empty file"),
        (b"a\tb\nonly one\n", "line 2: must be a source and a target with a tab between them"),
        (b"a\tb\nc\t\n", "line 2: the target must not be empty"),
        (b"a\tb\n\n\tc\n", "line 3: the source must not be empty"),
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
