"""Reading SQuAD's format; errors name the place."""

import gzip
import json
import re
import unicodedata

import pytest

from seq2lite.recipes.data.samples import FAQ_TRAIN, FAQ_VALID
from seq2lite.recipes.data.squad import read_squad
from seq2lite.recipes.data.text_files import DataError
from seq2lite.recipes.fetch.split import find_leaks

CONTEXT = "Seoul is the capital of Korea."
NOT_THERE = {"text": "Seoul", "answer_start": 3}


def one(answers=({"text": "Seoul", "answer_start": 0},), **more):
    qa = {"id": "1", "question": "What is the capital?", "answers": list(answers)} | more
    return {
        "version": "1.1",
        "data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": [qa]}]}],
    }


def save(folder, whole):
    path = folder / "squad.json"
    path.write_text(whole if isinstance(whole, str) else json.dumps(whole), "utf-8")
    return path


def test_the_questions_of_the_package_are_true_spans_and_leak_free():
    train, valid = read_squad(FAQ_TRAIN), read_squad(FAQ_VALID)  # a wrong span would warn
    assert len(train) > 250 and len(valid) > 50
    for example in train + valid:
        assert example.context[example.start :].startswith(example.answer)
        assert example.question.endswith("?")
    rows = [[(e.context, e.question) for e in part] for part in (train, valid)]
    assert not find_leaks(*rows)
    licence = FAQ_TRAIN.with_name("faq.en.Python-2.0-AND-Artistic-1.0-Perl.LICENSE.txt")
    assert 'The "Artistic License"' in licence.read_text("utf-8")


@pytest.mark.parametrize("zipped", [False, True])
def test_context_answer_and_question_are_read_in_nfc(tmp_path, zipped):
    context = unicodedata.normalize("NFD", "서울은 수도다.")
    answer = {"text": context[: context.index(" ")], "answer_start": 0}
    whole = one([answer])
    whole["data"][0]["paragraphs"][0]["context"] = context
    path = save(tmp_path, "\ufeff" + json.dumps(whole))
    if zipped:
        path = path.with_suffix(".json.gz")
        path.write_bytes(gzip.compress(json.dumps(whole).encode()))
    place = f"{path}: data[0].paragraphs[0].qas[0].answers[0]"
    assert read_squad(path) == [("서울은 수도다.", "서울은", 0, "What is the capital?", place)]


def test_equal_answers_count_once_and_impossible_questions_not_at_all(tmp_path):
    whole = one([{"text": "Seoul", "answer_start": 0}] * 3)
    impossible = one(question="Which city is not?", is_impossible=True)
    whole["data"] += impossible["data"] + one([])["data"]
    questions = [example.question for example in read_squad(save(tmp_path, whole))]
    assert questions == ["What is the capital?"]


def test_misplaced_answers_are_dropped_counted_and_named(tmp_path):
    whole = one([{"text": "Seoul", "answer_start": 0}, NOT_THERE, {"text": "", "answer_start": 0}])
    path = save(tmp_path, whole)
    place = re.escape("data[0].paragraphs[0].qas[0].answers[1] ('Seoul' at 3)")
    with pytest.warns(
        UserWarning,
        match=rf"2 answers are dropped, because they do not stand at their answer_start.*{place}",
    ):
        assert len(read_squad(path)) == 1
    with pytest.raises(DataError, match=r"at `answer_start`. Received: 1 misplaced answers"):
        read_squad(save(tmp_path, one([NOT_THERE])))


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        ("{", "must be JSON. Received: Expecting property name"),
        ("[" * 100_000, "must be JSON"),
        ([], "the key `data` must exist. Received: list"),
        ({"version": 1}, "the key `data` must exist. Received: version"),
        ({"data": []}, "Received: no answers"),
        (one(question="a\0b?"), "qas[0]: `question` must not contain a NUL. Received: 'a\\x00b?'"),
        (one(question="a\ud800?"), "`question` must not contain half a surrogate pair"),
        ({"data": [{"title": 1}]}, "data[0]: the key `paragraphs` must exist. Received: title"),
        ({"data": [{"paragraphs": {}}]}, "data[0]: `paragraphs` must be a list. Received: {}"),
        (one(question=3), "data[0].paragraphs[0].qas[0]: `question` must be a string. Received: 3"),
        (one(question=" "), "qas[0]: `question` must not be empty"),
        (one([{"text": "Seoul"}]), "answers[0]: the key `answer_start` must exist. Received: text"),
        (one([{"text": "Seoul", "answer_start": "0"}]), "must be an integer. Received: '0'"),
        (one(["Seoul"]), "qas[0].answers[0]: the key `text` must exist. Received: str"),
    ],
)
def test_a_bad_file_names_the_place(tmp_path, whole, message):
    path = save(tmp_path, whole)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        read_squad(path)
    assert str(path) in str(error.value)


def test_a_missing_or_non_gzip_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"must exist. Received"):
        read_squad(tmp_path / "none.json")
    (tmp_path / "a.json.gz").write_text("{}")
    with pytest.raises(DataError, match="must be a readable gzip file"):
        read_squad(tmp_path / "a.json.gz")


def test_an_answer_is_found_where_it_starts_after_nfc_and_strip(tmp_path):
    context = "  " + unicodedata.normalize("NFD", "수도 서울, 서울 시.")
    start = context.rindex(" ", 0, -3)
    answer = {"text": context[start : start + 6 + 1], "answer_start": start}
    whole = one([answer])
    whole["data"][0]["paragraphs"][0]["context"] = context
    (example,) = read_squad(save(tmp_path, whole))
    assert example.context == "수도 서울, 서울 시."
    assert example.context[example.start :].startswith(example.answer) and example.start > 4
