"""Pairs from CSV, JSON, JSON Lines, Parquet and saved data sets; headers and names of columns."""

import gzip
import json
import re
import sys

import pyarrow
import pyarrow.parquet
import pytest

from seq2lite.recipes import ask, generate, pronounce, translate
from seq2lite.recipes.data.pairs import read_pairs
from seq2lite.recipes.data.splits import read_splits
from seq2lite.recipes.data.tables import read_columns
from seq2lite.recipes.data.text_files import DataError
from seq2lite.recipes.run.record import describe_run

PAIRS = [("Yes, open it", '"예", 열기'), ("No", "아니요"), ("Line\nend", "끝")]
ROWS = [{"id": i, "en": source, "ko": target} for i, (source, target) in enumerate(PAIRS)]


def csv_text(delimiter=",", header="id,en,ko", end="\r\n"):
    rows = [f'{i},"{s}","{t.replace(chr(34), 2 * chr(34))}"' for i, (s, t) in enumerate(PAIRS)]
    rows = [row.replace(",", delimiter, 1).replace('","', f'"{delimiter}"') for row in rows]
    return "".join(row + end for row in [header.replace(",", delimiter), *rows])


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_parquet(path, rows=ROWS):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def write_dataset(folder, rows=ROWS):
    """A folder as `datasets.Dataset.save_to_disk` writes it."""
    folder.mkdir(parents=True)
    table = pyarrow.Table.from_pylist(rows)
    names = []
    for number, part in enumerate((table[:2], table[2:])):
        names.append({"filename": f"data-{number:05}-of-00002.arrow"})
        with pyarrow.ipc.new_stream(folder / names[-1]["filename"], table.schema) as writer:
            writer.write_table(part)
    (folder / "state.json").write_text(json.dumps({"_data_files": names}))
    return folder


FORMATS = {
    "a.csv": lambda path: write(path, csv_text()),
    "semicolons.csv": lambda path: write(path, csv_text(";")),
    "tabs.CSV": lambda path: write(path, csv_text("\t")),
    "excel.csv": lambda path: write(path, "\ufeffsep=;\r\n" + csv_text(";")),
    "utf16.csv": lambda path: write(path, csv_text(end="\n").encode("utf-16")),
    "a.csv.gz": lambda path: write(path, gzip.compress(csv_text().encode())),
    "a.json": lambda path: write(path, json.dumps(ROWS)),
    "data.json": lambda path: write(path, json.dumps({"data": ROWS}, indent=1)),
    "lines.json": lambda path: write(path, "\n".join(map(json.dumps, ROWS))),
    "a.jsonl": lambda path: write(path, "\n\n\ufeff".join(map(json.dumps, ROWS))),
    "nested.jsonl.gz": lambda path: write(
        path,
        gzip.compress(
            "\r\n".join(
                json.dumps({"id": r["id"], "translation": {"en": r["en"], "ko": r["ko"]}})
                for r in ROWS
            ).encode()
        ),
    ),
    "a.ndjson": lambda path: write(path, "\n".join(map(json.dumps, ROWS)) + "\n"),
    "a.parquet": write_parquet,
    "saved": write_dataset,
}


@pytest.mark.parametrize("columns", [[], ["en", "ko"]])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_pairs(name, columns, tmp_path):
    path = FORMATS[name](tmp_path / name)
    pairs = read_pairs(path, columns=columns)
    assert pairs == PAIRS
    assert pairs.origin == str(path) and len(pairs.lines) == 3
    (note,) = pairs.notes
    assert "columns en, ko; ignored: id" in note
    assert read_pairs(path, columns=["ko", "en"])[1] == ("아니요", "No")


def test_a_row_has_the_number_of_its_first_line(tmp_path):
    text = 'en,ko\r\n"a\nb",c\r\n\r\n,\r\nd,e\r\n'
    pairs = read_pairs(write(tmp_path / "a.csv", text))
    assert pairs == [("a\nb", "c"), ("d", "e")] and pairs.lines == [2, 6]


@pytest.mark.parametrize(
    "header", ["source\ttarget", "EN\tKO", "Text\tSummary", "en-US\tpt_BR", "eng_Latn\tkor_Hang"]
)
@pytest.mark.parametrize("suffix", ["tsv", "txt", "csv"])
def test_a_header_is_no_pair_and_is_named(header, suffix, tmp_path):
    path = write(tmp_path / f"a.{suffix}", f"{header}\na\tb\nc\td\n")
    pairs = read_pairs(path)
    assert pairs == [("a", "b"), ("c", "d")]
    assert pairs.notes == [f"line 1 is a header; columns {', '.join(header.split())}"]


@pytest.mark.parametrize("line", ["text\ttext", "Word\t단어", "question\tWas ist das?", "it\tEs"])
def test_a_pair_of_words_is_no_header(line, tmp_path):
    path = write(tmp_path / "a.tsv", f"{line}\na\tb\n")
    assert read_pairs(path) == [tuple(line.split("\t")), ("a", "b")]


def test_numbers_choose_columns_of_text_without_a_header(tmp_path):
    path = write(tmp_path / "a.csv", "1,b,c\n2,e,f\n")
    assert read_pairs(path, columns=["3", "2"]) == [("c", "b"), ("f", "e")]
    path = write(tmp_path / "a.tsv", "en\tko\na\tb\n")
    pairs = read_pairs(path, columns=["1", "2"])
    assert pairs == [("en", "ko"), ("a", "b")]
    assert pairs.notes == [
        "line 1 is read as text, because --columns are numbers, but seems to be a header: en, ko"
    ]


def test_columns_that_are_ignored_are_named(tmp_path):
    path = write(tmp_path / "a.tsv", "a\tb\torigin\nc\td\n")
    pairs = read_pairs(path)
    assert pairs == [("a", "b"), ("c", "d")] and pairs.notes == ["columns 1 and 2 of 3"]


def test_tab_separated_text_has_no_quoting_and_a_spreadsheets_is_noted(tmp_path):
    path = write(tmp_path / "a.tsv", '"Yes," he wrote.\tb\n"a ""b"""\tc\n')
    pairs = read_pairs(path)
    assert pairs == [('"Yes," he wrote.', "b"), ('"a ""b"""', "c")]
    assert len(pairs.notes) == 1 and "1 lines have cells in quotation marks" in pairs.notes[0]


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("a.csv", "en,ko\na,b\nc\n", [], "line 3 must have 2 columns. Received: 1, 'c'"),
        (
            "a.csv",
            "a,b\nc,d,e\n",
            [],
            "line 2 must have 2 columns, as the first row has. Received: 3",
        ),
        ("a.csv", 'a,b\n"c" d,e\n', [], "line 2 must be CSV"),
        ("a.csv", 'a,b\n"c,d\ne,f\n', [], "line 2 must be CSV"),
        ("a.csv", "a,b,c\nd,e,f\n", [], "`columns` must name the columns of"),
        ("a.csv", "en,ko,ja\na,b,c\n", [], "Received: none, of the columns 'en', 'ko', 'ja'. Try"),
        ("a.csv", "en,ko\n", [], "must contain pairs of source and target. Received: 0 lines"),
        ("a.csv", "a,b\n", ["en", "ko"], "must name columns of"),
        ("a.csv", "en,en\n", ["en", "ko"], "Received: 'en', 'ko'"),
        ("a.csv", "a,b\n", ["1", "3"], "line 1 must have 3 columns. Received: 2"),
        ("a.tsv", "a\tb\n", ["0", "1"], "`columns` must be numbers from 1. Received: 0 1"),
        ("a.tsv", "a\tb\n", ["en"], "`columns` must be 2 names or numbers. Received: en"),
        ("a.csv", b"a,b\n\xb0\xa1,c\n", [], "line 2 must be UTF-8"),
        ("a.jsonl", '{"en": "a", "ko": "b"}\n{"en": "a"}\n', [], "line 2: the key 'ko' must exist"),
        ("a.jsonl", '{"en": "a", "ko": 1}\n', [], "line 1: 'ko' must be text. Received: 1"),
        ("a.jsonl", '{"en": "a"\n', [], "line 1 must be JSON. Received: Expecting"),
        ("a.jsonl", '\n["a", "b"]\n', [], "line 2 must be a JSON object. Received: ['a', 'b']"),
        (
            "a.jsonl",
            '{"en": "\\ud800", "ko": "b"}',
            [],
            "line 1: 'en' must not contain a NUL or half",
        ),
        ("a.json", '{"en": "a"', [], "a.json must be JSON. Received"),
        ("a.json", "[1]", [], "a.json, row 1 must be a JSON object. Received: 1"),
        ("a.json", "[]", [], "a.json must contain text. Received: no rows"),
        ("a.json", '[{"a": "b", "c": "d", "e": "f"}]', [], "Try --columns a c"),
        ("a.json", '[{"a": "b"}]', [], "must have 2 columns of text. Received: 'a'"),
        ("a.json", '[{"a": "b", "c": "d"}]', ["1", "2"], "must name columns of"),
        ("a.parquet", b"PAR1", [], "must be a readable Parquet file"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(name, content, columns, message, tmp_path):
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        read_pairs(path, columns=columns)
    assert str(path) in str(error.value) or "names or numbers" in message or "from 1" in message


def test_two_tables_are_no_file_of_each_side(tmp_path):
    paths = [write(tmp_path / name, csv_text()) for name in ("a.csv", "b.csv")]
    with pytest.raises(
        DataError, match="must be a file of sources and a file of targets, with a text"
    ):
        read_pairs(*paths)


def test_splits_in_one_folder_and_corrupted_data_sets_are_named(tmp_path):
    write_dataset(tmp_path / "set/train")
    write_dataset(tmp_path / "set/test")
    (tmp_path / "set/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(DataError, match=r"a folder of the splits test, train. Try .*set/test"):
        read_pairs(tmp_path / "set")
    assert read_pairs(tmp_path / "set/train") == PAIRS
    (tmp_path / "set/train/data-00001-of-00002.arrow").unlink()
    with pytest.raises(DataError, match="must be a readable data set"):
        read_pairs(tmp_path / "set/train")


@pytest.mark.parametrize("name", ["a.parquet", "saved"])
def test_a_missing_library_is_named(name, tmp_path, monkeypatch):
    path = FORMATS[name](tmp_path / name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        DataError, match=r"pyarrow must be installed to read .*: pip install 'seq2lite\[parquet\]'"
    ):
        read_pairs(path)


def test_columns_choose_in_train_valid_and_test_alike(tmp_path):
    train, valid = write_parquet(tmp_path / "a.parquet"), write(tmp_path / "v.csv", "ko,en\ng,h\n")
    test = write(tmp_path / "t.jsonl", '{"ko": "i", "en": "j"}\n')
    config = translate.Config.of(
        train=(str(train),), valid=(str(valid),), test=(str(test),), columns=("en", "ko")
    )
    assert read_splits(config.data) == (PAIRS, [("h", "g")], {str(test): [("j", "i")]})


def test_other_recipes_read_tables_too(tmp_path):
    path = str(write(tmp_path / "a.csv", "context,id,question\nSeoul is big.,1,Which?\n"))
    assert ask.read_questions(path) == [("Seoul is big.", "Which?")]
    path = str(write(tmp_path / "a.json", '[{"text": "Seoul", "q": "Which?", "n": 2}]'))
    assert ask.read_questions(path) == [("Seoul", "Which?")]
    squad = '{"data": [], "text": "Seoul", "q": "Which?"}'
    path = str(write(tmp_path / "b.json", squad.replace('"data": [], ', "")))
    assert ask.read_questions(path, columns=["text", "q"]) == [("Seoul", "Which?")]
    path = str(write(tmp_path / "a.jsonl", '{"word": "c a t", "phones": "K AE1 T", "x": "y"}\n'))
    assert pronounce.read_words(path) == [("cat", "K AE1 T")]


def test_a_column_of_a_table_is_text_to_generate(tmp_path):
    path = write(tmp_path / "a.csv", "label,text\nx,Open a file.\ny,Close it.\n")
    assert generate.read_paragraphs(path) == [("Open a file.", ""), ("Close it.", "")]
    assert generate.read_paragraphs(path, columns=["label"])[0] == ("x", "")
    path = write(tmp_path / "a.tsv", "source\ttarget\nOpen a file.\tb\n")
    pairs = generate.read_paragraphs(path)
    assert pairs == [("Open a file.", "")]
    assert pairs.notes == ["line 1 is a header; columns source; ignored: target"]
    with pytest.raises(DataError, match="`columns` must name the columns"):
        generate.read_paragraphs(write(tmp_path / "b.csv", "a,b\nc,d\n"))


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = translate.Config.of(train=("~/a.tsv",), test=("~/b.tsv",))
    assert config.data.train == (str(tmp_path / "a.tsv"),)
    assert config.data.test == (str(tmp_path / "b.tsv"),)


def test_a_changed_file_of_a_data_set_is_noticed(tmp_path):
    folder = write_dataset(tmp_path / "set")
    config = translate.Config.of(train=(str(folder),), output=str(tmp_path / "run"))
    before = describe_run(config).record
    assert describe_run(config).record == before
    (folder / "data-00001-of-00002.arrow").write_bytes(b"")
    assert describe_run(config).record != before


def test_a_column_of_numbers_is_no_candidate(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", [{"n": 1, "a": "b", "c": "d", "e": [1]}])
    assert read_columns(path).rows[0].cells == ["b", "d"]
