"""Long texts: sentences, and their targets joined again."""

# ruff: noqa: RUF001

import random

import pytest

from seq2lite.export.runtime.sentences import by_sentence, split
from seq2lite.export.runtime.unicode import STRIPPED


@pytest.mark.parametrize(
    ("language", "text", "sentences"),
    [
        ("en", "Mr. Smith paid $3.50.  Is it 5 p.m.?", ["Mr. Smith paid $3.50.", "Is it 5 p.m.?"]),
        ("de", "Am 3. Mai kam z. B. Dr. Ott. Fertig!", ["Am 3. Mai kam z. B. Dr. Ott.", "Fertig!"]),
        ("ko", "저는 학생입니다. 3.5배! 정말요?", ["저는 학생입니다.", "3.5배!", "정말요?"]),
        ("ja", "私は学生です。はい！ 終わり。", ["私は学生です。", "はい！", "終わり。"]),
        ("zh", "你好。我是学生。", ["你好。", "我是学生。"]),
        (None, "One. Two.", ["One.", "Two."]),
        ("xx-Latn", "One. Two.", ["One.", "Two."]),
        ("en", "a title\nOne. Two.\r\n\r\n", ["a title", "One.", "Two."]),
        ("en", "", []),
        ("en", " \n\ufeff ", []),
    ],
)
def test_sentences_are_found(language, text, sentences):
    assert split(text, language).sentences == sentences


def test_sentences_joined_again_are_the_text():
    words = [
        "Open",
        "the file.",
        "No!",
        "3.5",
        "\n",
        "  ",
        "\t",
        "\r\n",
        "\ufeff",
        "\u2028",
        "e.g.",
    ]
    rng = random.Random(1)
    for _ in range(300):
        text = " ".join(rng.choices(words, k=rng.randrange(12)))
        parts = split(text, "en")
        assert parts.join(parts.sentences) == text
        assert all(
            sentence and sentence == sentence.strip(STRIPPED) for sentence in parts.sentences
        )


@pytest.mark.parametrize(
    ("text", "targets", "joined"),
    [
        ("One. Two.  Three.", ["하나.", "둘", "셋."], "하나. 둘  셋."),
        ("One. Two.\n Three.", ["一。", "“二？”", "三。"], "一。“二？”\n 三。"),
        ("一。二。", ["One.", "Two."], "One. Two."),
        (" One. Two.\n", ["", "B."], "  B.\n"),
    ],
)
def test_targets_are_joined_as_their_language_is_written(text, targets, joined):
    assert split(text).join(targets) == joined


def test_the_ends_of_a_text_are_cleaned_before_it_is_split():
    texts = ["\ufeff One.  Two.\n", " \n\ufeff ", "", "e\u0301\u3000"]
    assert by_sentence(list, texts, "en") == ["One.  Two.", "", "", "\u00e9"]


def test_without_sentencex_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sentencex", None)
    with pytest.raises(ImportError, match=r"sentencex, which is not installed.*seq2lite\[split\]"):
        split("One. Two.")
