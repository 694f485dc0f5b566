"""What each recipe makes of its data, and `list` and `cp`."""

import json
import subprocess
import sys

import pytest

from seq2lite.recipes import __main__ as recipes
from seq2lite.recipes import ask, distill, generate, pronounce, summarize
from seq2lite.recipes.pairs import Pairs
from seq2lite.recipes.squad import Example


def write(folder, name, text):
    path = folder / name
    path.write_text(text, "utf-8")
    return str(path)


def test_a_word_has_all_of_its_pronunciations(tmp_path):
    path = write(tmp_path, "words.tsv", "cat\tK AE1 T\nread\tR IY1 D\nread\tR EH1 D\n")
    words = pronounce.read_words([path])
    assert pronounce.pronunciations(words) == [
        ("cat", ["K AE1 T"]),
        ("read", ["R IY1 D", "R EH1 D"]),
    ]
    spaced = write(tmp_path, "spaced.tsv", "c a t\tK AE1 T\n' b o u t\tB AW1 T\n")
    assert pronounce.read_words([spaced]) == [("cat", "K AE1 T"), ("'bout", "B AW1 T")]


def test_the_summary_to_beat_is_the_first_words():
    assert summarize.lead(["a b c d", "e"], 2) == ["a b", "e"]


def test_a_question_is_asked_of_the_words_round_its_answer():
    context = " ".join(f"w{i}" for i in range(50))
    for answer in ("w0", "w25", "w49"):
        example = Example(
            context, answer, context.index(answer + " " if answer != "w49" else answer), "?"
        )
        words = ask.around(example, 10).split()
        assert len(words) == 10 and answer in words
        places = [int(word[1:]) for word in words]
        assert places == list(range(places[0], places[0] + 10))
    assert ask.around(Example("a b", "b", 2, "?"), 10) == "a b"


def test_questions_come_from_squads_json_and_from_pairs(tmp_path):
    squad = {
        "data": [{"paragraphs": [{"context": "Seoul is big.", "qas": [
            {"question": "Which?", "answers": [{"text": "Seoul", "answer_start": 0}]}]}]}]
    }  # fmt: skip
    path = write(tmp_path, "squad.json", json.dumps(squad))
    expected = [("answer: Seoul context: Seoul is big.", "Which?")]
    assert ask.read_questions([path], ask.Config()) == expected
    assert ask.read_questions([path, path], ask.Config()) == expected * 2
    path = write(tmp_path, "pairs.tsv", "Seoul is big.\tWhich?\n")
    assert ask.read_questions([path], ask.Config()) == [("Seoul is big.", "Which?")]


def test_a_beginning_and_what_follows_are_a_sentence_of_the_text(tmp_path):
    text = "One two three. Four five six seven?\n\nEight nine\n"
    config = generate.Config(context_words=4, places=2)
    found = generate.read_beginnings([write(tmp_path, "a.txt", text)], config)
    assert found == generate.read_beginnings([str(tmp_path / "a.txt")], config)  # by the seed
    assert {target.split()[-1] for _, target in found} == {"three.", "seven?", "nine"}
    lines = text.splitlines()
    for line, (source, target) in zip(found.lines, found, strict=True):
        assert f"{source} {target}" in lines[line - 1] and 1 <= len(source.split()) <= 4


def test_no_sentence_is_both_trained_on_and_held_out(tmp_path):
    train = write(tmp_path, "a.txt", "One two three. Four five six.\n")
    config = generate.Config(train=(train,), places=2)
    found = generate.read_beginnings([train], config, known={"Four five six."})
    assert {target.split()[-1] for _, target in found} == {"three."}
    assert found.dropped == {"a held-out sentence": 1}


def test_a_teacher_is_asked_once_for_each_source(tmp_path):
    pairs = Pairs([(f"source {i}", "reference") for i in range(distill.CHUNK + 3)])
    asked = []

    def say(texts):
        asked.extend(texts)
        return [text.upper() if text != "source 1" else "" for text in texts]

    teacher = distill.Teacher(say, None, 0)
    for references in (False, True):  # the second time it is read
        taught = distill.distilled(distill.Config(references=references), teacher, pairs, tmp_path)
        assert asked == [source for source, _ in pairs]
        assert ("source 0", "SOURCE 0") in taught and len(taught) == len(pairs) * (
            1 + references
        ) - 1
        assert taught.dropped == {"an empty target of the teacher": 1}
    file = sorted((tmp_path / "distilled").iterdir())[1]
    file.unlink()  # a stop before the second chunk was written
    distill.distilled(distill.Config(), teacher, pairs, tmp_path)
    assert len(asked) == len(pairs) + 3


def test_what_is_no_teacher_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"`teacher` must be a bundle, or a folder .* Received"):
        distill.load_teacher(distill.Config(teacher=str(tmp_path)))


def test_every_recipe_is_listed_with_what_it_does(capsys):
    recipes.main(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(recipes.RECIPES)
    assert all(len(line) > 30 for line in lines)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_a_copy_is_the_recipe_and_nothing_is_overwritten(name, tmp_path, capsys):
    path = tmp_path / "my.py"
    recipes.main(["cp", name, str(path)])
    before = path.read_text("utf-8")
    assert before == recipes._source(name)
    with pytest.raises(SystemExit) as error:
        recipes.main(["cp", name, str(path)])
    assert "must be a new file" in str(error.value) and path.read_text("utf-8") == before


def test_a_copy_runs(tmp_path):
    recipes.main(["cp", "translate", str(tmp_path / "my.py")])
    done = subprocess.run(
        [sys.executable, "my.py", "--epochs", "0"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "`epochs` must be at least 1. Received: 0" in done.stderr
