"""The data and outputs of each recipe; `list` and `cp`."""

import json
import math
import subprocess
import sys
from types import SimpleNamespace

import pytest

from seq2lite import export
from seq2lite.commands import cp
from seq2lite.recipes import ask, distill, generate, pronounce, summarize, translate
from seq2lite.recipes.data.load import load_data
from seq2lite.recipes.data.pairs import Pairs
from seq2lite.recipes.data.splits import read_splits
from seq2lite.recipes.data.squad import Example
from seq2lite.recipes.data.text_files import DataError
from seq2lite.recipes.evaluation.decoding import Decoder, Search
from seq2lite.recipes.evaluation.evaluate import bundle_decoder
from seq2lite.recipes.options import replace
from seq2lite.recipes.run.build import build_model
from seq2lite.recipes.training.options import Training
from seq2lite.zoo.presets import PRESETS


def write(folder, name, text):
    path = folder / name
    path.write_text(text, "utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("recipe", "build_data"),
    [
        (translate, load_data),
        (summarize, load_data),
        (ask, lambda config: load_data(config, ask.read_questions)),
        (pronounce, pronounce.build_data),
    ],
)
def test_the_data_of_the_package_is_enough_for_a_recipes_defaults(recipe, build_data):
    data = build_data(recipe.Config())
    assert data.train.num_batches > 0 and data.valid.pairs and all(data.tests.values())


def test_a_word_has_all_of_its_pronunciations(tmp_path):
    path = write(tmp_path, "words.tsv", "cat\tK AE1 T\nread\tR IY1 D\nread\tR EH1 D\n")
    words = pronounce.read_words(path)
    assert pronounce.pronunciations(words) == [
        ("cat", ["K AE1 T"]),
        ("read", ["R IY1 D", "R EH1 D"]),
    ]
    spaced = write(tmp_path, "spaced.tsv", "c a  t\tK AE1 T\n' b o u t\tB AW1 T\n")
    assert pronounce.read_words(spaced) == [("cat", "K AE1 T"), ("'bout", "B AW1 T")]


def test_the_baseline_summary_is_the_first_words():
    assert summarize.first_words(["a b c d", "e"], 2) == ["a b", "e"]
    with pytest.raises(ValueError, match=r"`baseline_words` must be .*Received: baseline_words=-1"):
        summarize.Config.of(baseline_words=-1)


def test_a_text_without_spaces_is_one_word_and_no_overflow():
    assert generate._perplexity(math.log(20)) == pytest.approx(20)
    assert generate._perplexity(1e4) is None


def test_the_words_around_an_answer_are_read():
    context = " ".join(f"w{i}" for i in range(50))
    for answer in ("w0", "w25", "w49"):
        example = Example(
            context, answer, context.index(answer + " " if answer != "w49" else answer), "?", ""
        )
        words = ask.words_around(example, 10).split()
        assert len(words) == 10 and answer in words
        places = [int(word[1:]) for word in words]
        assert places == list(range(places[0], places[0] + 10))
    assert ask.words_around(Example("a b", "b", 2, "?", ""), 10) == "a b"


def test_questions_come_from_squads_json_and_from_pairs(tmp_path):
    squad = {
        "data": [{"paragraphs": [{"context": "Seoul is big.", "qas": [
            {"question": "Which?", "answers": [{"text": "Seoul", "answer_start": 0}]}]}]}]
    }  # fmt: skip
    path = write(tmp_path, "squad.json", json.dumps(squad))
    expected = [("answer: Seoul context: Seoul is big.", "Which?")]
    assert ask.read_questions(path) == expected
    assert ask.read_questions(path).lines == [f"{path}: data[0].paragraphs[0].qas[0].answers[0]"]
    assert ask.read_questions(path, path) == expected * 2
    path = write(tmp_path, "pairs.tsv", "Seoul is big.\tWhich?\n")
    assert ask.read_questions(path) == [("Seoul is big.", "Which?")]


def test_all_questions_on_a_text_are_held_out_together(tmp_path):
    def paragraph(letter):
        context = f"{letter * 3} is here and there."
        spans = [(text, context.index(text)) for text in (letter * 3, "here", "there")]
        return {"context": context, "qas": [
            {"question": f"{text}?", "answers": [{"text": text, "answer_start": start}]}
            for text, start in spans]}  # fmt: skip

    squad = {"data": [{"paragraphs": [paragraph(letter) for letter in "abcdefghijklm"]}]}
    config = ask.Config.of(train=(write(tmp_path, "squad.json", json.dumps(squad)),))
    train, held_out, _ = read_splits(config.data, ask.read_questions)
    assert (len(train), len(held_out)) == (36, 3)
    assert not {*train.groups} & {*held_out.groups}


def test_a_source_and_its_continuation_are_a_sentence_of_the_text(tmp_path):
    text = "One two three. Four five six seven?\n\nEight nine\n"
    config = generate.Config.of(context_words=4, places=2)
    text_file = generate.read_paragraphs(write(tmp_path, "a.txt", text))
    found = generate.continuations(text_file, config)
    assert found == generate.continuations(text_file, config)  # determined by the seed
    assert {target.split()[-1] for _, target in found} == {"three.", "seven?", "nine"}
    lines = text.splitlines()
    for line, (source, target) in zip(found.lines, found, strict=True):
        assert f"{source} {target}" in lines[line - 1] and 1 <= len(source.split()) <= 4


def test_no_sentence_is_both_trained_on_and_held_out(tmp_path):
    train = write(tmp_path, "a.txt", "One two three. Four five six.\n")
    config = generate.Config.of(train=(train,), places=2)
    paragraphs = generate.read_paragraphs(train)
    found = generate.continuations(paragraphs, config, held_out={"Four five six."})
    assert {target.split()[-1] for _, target in found} == {"three."}
    assert found.dropped == {"held-out sentence": 1}


def test_a_beginning_shared_with_held_out_sentences_is_trained_on(tmp_path):
    train = write(tmp_path, "a.txt", "The cat sleeps.\nThe cat eats.\n\nThe cat eats.\nA dog.\n")
    valid = write(tmp_path, "b.txt", "The cat runs.\n A dog. \n")
    config = generate.Config.of(train=(train,), valid=(valid,), vocabulary_size=274)
    data = generate.build_data(config)
    assert data.train.num_pairs == 4 and data.valid.num_pairs == 3
    assert sorted(data.tests[valid]) == [("A", "dog."), ("The", "cat runs."), ("The cat", "runs.")]


def test_a_teacher_decodes_each_source_once(tmp_path):
    pairs = Pairs([(f"source {i}", "reference") for i in range(distill.CHUNK + 3)])
    decoded = []
    again = [*pairs, ("source 0", "another reference")]

    def decode(texts):
        decoded.extend(texts)
        return [text.upper() if text != "source 1" else "" for text in texts]

    teacher = distill.Teacher(decode, None, 0)
    for references in (False, True):  # the second time it is read
        distilled = distill.teacher_pairs(
            distill.Config.of(references=references), teacher, pairs, tmp_path
        )
        assert decoded == [source for source, _ in pairs]
        assert ("source 0", "SOURCE 0") in distilled and len(distilled) == len(pairs) * (
            1 + references
        ) - 1
        assert distilled.dropped == {"empty teacher output": 1}
    file = sorted((tmp_path / "distilled").iterdir())[1]
    file.unlink()  # a stop before the second chunk was written
    distilled = distill.teacher_pairs(distill.Config.of(), teacher, Pairs(again), tmp_path)
    assert len(decoded) == len(pairs) + 3
    assert distilled.dropped == {"empty teacher output": 1, "duplicate": 1}
    assert distilled.lines == [1, *range(3, len(pairs) + 1)]


def test_a_student_reads_the_same_words_around_an_answer_as_its_teacher(tmp_path):
    squad = {"data": [{"paragraphs": [{"context": f"{city} is big and old.", "qas": [
        {"question": "Which?", "answers": [{"text": city, "answer_start": 0}]}]}
        for city in ("Seoul", "Busan", "Daegu")]}]}  # fmt: skip
    path = write(tmp_path, "squad.json", json.dumps(squad))
    config = distill.Config.of(train=(path,), measured_as="question", context_words=3)
    train, held_out, _ = distill.read_data(config)
    for source, _ in [*train, *held_out]:
        city = source.split()[1]
        assert source == f"answer: {city} context: {city} is big"


def test_a_teacher_without_outputs_is_refused(tmp_path):
    teacher = distill.Teacher(lambda sources: [""] * len(sources), None, 1)
    with pytest.raises(ValueError, match=r"whose outputs for 2 sources are all empty"):
        distill.teacher_pairs(
            distill.Config.of(), teacher, Pairs([("a", "b"), ("c", "d")]), tmp_path
        )


def test_one_held_out_pair_is_enough_to_time_a_student():
    teacher = distill.Teacher(lambda sources: ["짧다"] * len(sources), None, 3)
    scores = {"test": {"teacher": {}}}
    result = SimpleNamespace(scores=scores, reports={})
    distill.add_size_and_speed(result, distill.Config(), teacher, [("short", "짧다")])
    assert scores["test"]["teacher"]["MB"] == 3
    assert scores["test"]["teacher"]["ms per sentence"] > 0


@pytest.mark.parametrize("config", [ask.Config, distill.Config, generate.Config])
def test_a_context_of_no_words_is_refused(config):
    with pytest.raises(ValueError, match=r"`context_words` must be .*Received: context_words=0"):
        config.of(context_words=0)


def test_a_file_of_tabs_is_no_text(tmp_path):
    with pytest.raises(
        DataError, match=r"must contain text in the column that is read. Received: none"
    ):
        generate.read_paragraphs(write(tmp_path, "text.tsv", "\ta\n \tb\n"))


def test_an_invalid_teacher_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"`teacher` must be a run folder .* Received"):
        distill.load_teacher(distill.Config.of(teacher=str(tmp_path)))


@pytest.fixture
def a_tiny_transformer(monkeypatch):
    """A smaller model as the preset transformer_tiny."""
    sizes = {"num_layers": 1, "model_dim": 16, "num_heads": 2, "feed_forward_dim": 16}
    monkeypatch.setitem(PRESETS, "transformer_tiny", {"builder": "transformer", **sizes})


def run(recipe, tmp_path, lines, score_pairs=0, num_beams=1, **options):
    """Run a recipe on one file, a part of which is held out."""
    data = write(tmp_path, "data.txt", "".join(f"{line}\n" for line in lines))
    training = Training(epochs=1, batch_tokens=512, score_pairs=score_pairs)
    config = recipe.Config.of(
        train=(data,), output=str(tmp_path / "run"), training=training, preset="transformer_tiny",
        search=Search(num_beams=num_beams), **{"vocabulary_size": 420, "quantizations": (), **options},
    )  # fmt: skip
    result = recipe.train(config)
    report = (tmp_path / "run" / "report.md").read_text("utf-8")
    assert "those of evaluation 1, selected by the " in report and " held-out pairs; " in report
    ((name, scores),) = result.scores.items()
    assert name == f"held-out part of {data}"
    return scores, report


def test_a_summary_is_compared_with_the_first_words(a_tiny_transformer, tmp_path, pairs):
    lines = [f"{source} {source}\t{source}" for source, _ in pairs]
    lengths = {"max_source_length": 40, "max_target_length": 8}
    scores, _ = run(
        summarize, tmp_path, lines, score_pairs=2, num_beams=2, **lengths, baseline_words=5
    )
    assert list(scores) == ["first 5 words", "Keras"]
    assert scores["first 5 words"]["ROUGE-L"] > 50 > scores["Keras"]["ROUGE-L"] >= 0


@pytest.mark.long
def test_a_question_has_the_scores_of_all_metrics(a_tiny_transformer, tmp_path, pairs):
    lines = [f"{source}\tWhat is {source}?" for source, _ in pairs]
    lengths = {"max_source_length": 40, "max_target_length": 8}
    scores, _ = run(ask, tmp_path, lines, **lengths)
    assert {"BLEU", "ROUGE-L", "exact match"} <= scores["Keras"].keys()


@pytest.mark.long
def test_a_pronunciation_is_scored_and_distilled(a_tiny_transformer, tmp_path):
    lines = [f"{a} {b} {c}\t{a.upper()} {c.upper()}" for a in "abcd" for b in "efgh" for c in "ijk"]
    config = {"preset": "transformer_tiny", "max_length": 8}
    training = Training(epochs=2, batch_tokens=512, score_pairs=0)
    data = write(tmp_path, "words.tsv", "\n".join(lines))
    teacher = tmp_path / "teacher"
    options = {"train": (data,), "quantizations": (), "training": training, "num_beams": 1}
    result = pronounce.train(pronounce.Config.of(output=str(teacher), **config, **options))
    (scores,) = result.scores.values()
    assert scores["Keras"]["PER"] >= 0 and scores["Keras"]["WER"] <= 100
    student = distill.train(
        distill.Config.of(
            teacher=str(teacher / "model.keras"), measured_as="phones", preset="transformer_tiny",
            output=str(tmp_path / "student"), max_source_length=8, max_target_length=8, **options,
        )
    )  # fmt: skip
    (scores,) = student.scores.values()
    assert scores["teacher"]["WER"] == result.scores.popitem()[1]["Keras"]["WER"]
    distilled = json.loads((tmp_path / "student/distilled/00000000.json").read_text("utf-8"))
    student_pairs, *_ = distill.read_data(
        distill.Config.of(teacher=str(teacher), measured_as="phones", train=(data,))
    )
    assert len(distilled) == len(student_pairs)
    assert all(" " not in source for source, _ in student_pairs)  # as the teacher read them


def test_too_few_batches_are_refused_before_the_teacher_decodes(tokenizer, tmp_path, monkeypatch):
    teacher = distill.Teacher(lambda sources: pytest.fail("the teacher decodes"), tokenizer, 0)
    monkeypatch.setattr(distill, "load_teacher", lambda config: teacher)
    lines = [f"{a}{b}\t{b} {a}" for a in "abcdefgh" for b in "ijklmnop"]
    config = distill.Config.of(
        train=(write(tmp_path, "pairs.tsv", "\n".join(lines)),),
        output=str(tmp_path / "few"),
        preset="transformer_tiny",
        training=Training(accumulate=100),
    )
    with pytest.raises(ValueError, match=r"`accumulate` must give at least 100 batches in all"):
        distill.train(config)
    assert not (tmp_path / "few").exists()


def test_the_perplexity_counts_predicted_words_only(a_tiny_transformer, tmp_path, pairs):
    lines = [f"{source} Then it was saved." for source, _ in pairs]
    scores, _ = run(generate, tmp_path, lines, max_target_length=48)
    found = scores["Keras"]
    assert 1 < found["perplexity per token"] < 1000 and found["bits per character"] > 0
    # Words that are cut off do not make the text easier.
    config = generate.Config.of(
        train=(str(tmp_path / "data.txt"),), vocabulary_size=420, preset="transformer_tiny"
    )
    data = generate.build_data(config)
    config = replace(config, max_target_length=6)
    model = build_model(config, data.tokenizer)
    short = generate.perplexities(config, model, data, Pairs([("It was", "saved now")]))
    long = generate.perplexities(
        config, model, data, Pairs([("It was", "saved now" + " and on" * 50)])
    )
    ratio = long["Keras"]["bits per character"] / short["Keras"]["bits per character"]
    assert 0.5 < ratio < 2


@pytest.mark.long
@pytest.mark.parametrize("preset", ["transformer_tiny", "rnn_tiny"])
def test_a_bundle_pronounces_as_keras_does(preset, tmp_path):
    lines = [f"{a}{b}{c}\t{a.upper()} {c.upper()}" for a in "abcd" for b in "efgh" for c in "ijk"]
    config = pronounce.Config.of(
        train=(write(tmp_path, "words.tsv", "\n".join(lines)),),
        output=str(tmp_path / "run"),
        preset=preset,
        max_length=8,
        quantizations=("float32",),
        training=Training(epochs=20, batch_tokens=256, score_pairs=2),
    )
    result = pronounce.train(config)
    (scores,) = result.scores.values()
    assert scores["float32"] == pytest.approx(scores["Keras"])
    words = ["aei", "bfj", "chk", "dgi"]
    outputs = bundle_decoder(result.reports["float32"].path)(words)
    decode = Decoder(result.data.tokenizer, config.search, config.data.max_lengths)
    assert outputs == decode(result.model, words) and any(outputs)


@pytest.mark.long
def test_a_bundle_samples_by_the_seed(a_tiny_transformer, tmp_path, pairs):
    lines = [f"{source} Then it was saved." for source, _ in pairs]
    lengths = {"max_source_length": 24, "max_target_length": 24}
    _, report = run(generate, tmp_path, lines, quantizations=("float32",), **lengths)
    assert "| source | reference | float32 |" in report
    sources = ["It", "Then it"]
    bundle = export.load(tmp_path / "run" / "float32")
    outputs = [bundle.sample(sources, temperature=0.8, top_p=0.9, seed=seed) for seed in (1, 1, 2)]
    assert outputs[0] == outputs[1] != outputs[2]


@pytest.mark.long
def test_a_copy_runs(tmp_path):
    cp.main(["translate", str(tmp_path / "my.py")])
    done = subprocess.run(
        [sys.executable, "my.py", "--epochs", "0"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "`epochs` must be at least 1. Received: 0" in done.stderr
