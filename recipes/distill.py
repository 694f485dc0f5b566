"""Distillation: a student that learns from what a teacher says, and is smaller and faster.

    python -m seq2lite.recipes.translate --preset transformer_small --output runs/teacher
    python -m seq2lite.recipes.distill --teacher runs/teacher --output runs/student

Sequence-level knowledge distillation (Kim and Rush 2016, https://arxiv.org/abs/1606.07947, section 3.2):
the teacher's beam search translates the sources of the training text, and the student is trained on
its targets in the place of the references. Needs: the run folder of a recipe (but of `generate`, which
samples), a `.keras` file with its `tokenizer.model` beside it, or a bundle; and the files it was
trained on, or more of their kind, which `--measured-as` says how to read. Gives, in
`--output`: `report.md` with scores, size and speed of teacher and student, `model.keras`, and a bundle
for each quantization.
"""

import dataclasses
import functools
import json
import statistics
import time
from collections import namedtuple
from pathlib import Path

import keras
from rich.progress import track

from seq2lite import export, zoo
from seq2lite.export.runtime.checks import require_positive
from seq2lite.export.runtime.container import is_bundle
from seq2lite.recipes.ask import CONTEXT_WORDS, read_questions
from seq2lite.recipes.data.pairs import Pairs, read_pairs
from seq2lite.recipes.data.prepare import make_batches, training_batches
from seq2lite.recipes.data.samples import VSCODE_TRAIN
from seq2lite.recipes.data.splits import for_training, input_files, read_splits, spread
from seq2lite.recipes.distributed import processes
from seq2lite.recipes.distributed.precision import precision
from seq2lite.recipes.evaluation.bundles import bundle_decoder, export_bundles
from seq2lite.recipes.evaluation.decoding import Decoder, Score, Search
from seq2lite.recipes.evaluation.evaluate import evaluate
from seq2lite.recipes.evaluation.metrics import (
    error_rates,
    question_scores,
    rouge_scores,
    translation_scores,
)
from seq2lite.recipes.options import check_choices, option, require_files
from seq2lite.recipes.pronounce import pronunciations, read_words
from seq2lite.recipes.run.command_line import run_recipe
from seq2lite.recipes.run.folder import DISTILLED, check_run_folder, open_run, save_model, save_text
from seq2lite.recipes.run.model_options import builder_options, check_model, training_of
from seq2lite.recipes.run.report import write_report
from seq2lite.recipes.training.fit import fit
from seq2lite.recipes.training.options import Training

Task = namedtuple("Task", ["read", "references", "score", "mode", "measure"])
# How the teacher's recipe reads its files and what it scores against; the number that chooses the best
# round, which is better, and what it is one of.
TASKS = {
    "translation": Task(read_pairs, list, "chrF", "max", translation_scores),
    "summary": Task(read_pairs, list, "ROUGE-L", "max", rouge_scores),
    "question": Task(read_questions, list, "ROUGE-L", "max", question_scores),
    "phones": Task(read_words, pronunciations, "WER", "min", error_rates),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run depends on; each field is a flag."""

    teacher: str = option("runs/translate", "run folder of a recipe, a .keras file, or a bundle")
    train: tuple[str, ...] = option(
        (str(VSCODE_TRAIN),), "source, tab, target a line; or a file of each; .gz or plain"
    )
    valid: tuple[str, ...] = option(
        (),
        "held-out pairs of the same form, which choose the best round; default: a part of --train",
    )
    test: tuple[str, ...] = option((), "files of pairs to score in the end; default: --valid")
    references: bool = option(False, "train on the references too, not on the teacher's alone")
    output: str = option("runs/distill", "run folder")
    overwrite: bool = option(
        False, "replace the run in the folder: a finished one, or one of other options"
    )
    preset: str = option("student_tiny", f"one of {', '.join(zoo.list_presets())}")
    dropout: float = option(0.1, "of the preset's layers")
    architecture: tuple[str, ...] = option(
        (), "what differs from the preset, as num_layers=3 (docs/zoo.md has all options)"
    )
    max_source_length: int = option(96, "tokens of a source; what is longer is cut")
    max_target_length: int = option(96, "tokens of a target")
    measured_as: str = option("translation", f"what a target is; of {', '.join(TASKS)}")
    context_words: int = option(CONTEXT_WORDS, "of a question's JSON, as the teacher reads it")
    languages: tuple[str, ...] = option((), "tags of source and target, if they are translations")
    quantizations: tuple[str, ...] = option(
        ("float32", "int8"), f"a bundle for each of {', '.join(export.QUANTIZATIONS)}; alone: none"
    )
    training: Training = Training()
    search: Search = Search()

    def __post_init__(self):
        check_model(self)
        require_files(self.train, self.valid)
        check_choices("measured_as", [self.measured_as], TASKS)
        require_positive(context_words=self.context_words)
        if len(self.languages) not in (0, 2):
            raise ValueError(f"`languages` must be two tags. Received: {' '.join(self.languages)}")

    @property
    def lengths(self):
        """Most tokens of a source and of a target."""
        return self.max_source_length, self.max_target_length

    @property
    def inputs(self):
        """The data files, the teacher's among them."""
        teacher = Path(self.teacher)
        folder = teacher.parent if teacher.suffix == ".keras" else teacher
        named = [folder / name for name in ("model.keras", "tokenizer.model", "bundle.json")]
        teachers = [str(file) for file in dict.fromkeys((teacher, *named)) if file.is_file()]
        return (*input_files(self), *teachers)


Data = namedtuple("Data", ["tokenizer", "train", "valid", "tests"])
Teacher = namedtuple("Teacher", ["say", "tokenizer", "megabytes"])
Result = namedtuple("Result", ["model", "tokenizer", "scores", "reports"])
CHUNK = 512  # sources that are written down at a time, so that a stop loses no more


def load_teacher(config):
    """A bundle, or a run folder's Keras model, as a function from texts to texts."""
    path = Path(config.teacher)
    if path.exists() and is_bundle(path):
        runner = export.load(path)
        size = sum(f.stat().st_size for f in path.rglob("*.tflite")) if path.is_dir() else 0
        return Teacher(
            bundle_decoder(path, config.search),
            runner.tokenizers.target,
            (size or path.stat().st_size) / 1e6,
        )
    file = path if path.suffix == ".keras" else path / "model.keras"
    if not file.is_file() or not (file.parent / "tokenizer.model").is_file():
        raise ValueError(
            "`teacher` must be a bundle, a folder with model.keras and tokenizer.model, as a recipe "
            f"leaves it, or a .keras file with tokenizer.model beside it. Received: {config.teacher}"
        )
    model = keras.saving.load_model(file)
    tokenizer = export.Tokenizer(file.parent / "tokenizer.model")
    decode = Decoder(tokenizer, config.search, config.lengths)
    return Teacher(lambda texts: decode(model, texts), tokenizer, 4 * model.count_params() / 1e6)


def read_data(config):
    """Reads the pairs, as they are."""
    read = TASKS[config.measured_as].read
    if read is read_questions:
        read = functools.partial(read, context_words=config.context_words)
    return read_splits(config, read)


def _said(file, teacher, sources):
    """What the teacher makes of the sources; once written down, as it is written."""
    if not file.exists():
        save_text(file, json.dumps(teacher.say(sources), ensure_ascii=False))
    return json.loads(file.read_text("utf-8"))


def distilled(config, teacher, pairs, folder):
    """The pairs with the teacher's targets; what was said before a stop is read, not said again."""
    sources, said = list(dict.fromkeys(source for source, _ in pairs)), []
    for start in track(range(0, len(sources), CHUNK), "the teacher's targets", disable=None):
        file = folder / DISTILLED / f"{start:08}.json"
        chunk = sources[start : start + CHUNK]
        said += processes.from_first(lambda f=file, c=chunk: _said(f, teacher, c))
    target_of = dict(zip(sources, said, strict=True))
    taught = Pairs(
        [(source, target_of[source]) for source, _ in pairs],
        pairs.lines,
        pairs.origin,
        pairs.dropped,
    ).filter(lambda source, target: target, "empty teacher output")
    if not taught:
        raise ValueError(
            f"`teacher` must give targets. Received: {config.teacher}, which gave empty ones alone, "
            f"to {len(sources)} sources"
        )
    if config.references:
        both, lines = [*pairs, *taught], [*pairs.lines, *taught.lines]
        taught = Pairs(both, lines, taught.origin, taught.dropped)
    return for_training(taught)


def build_model(config, teacher):
    """The student, over the teacher's tokens."""
    keras.utils.set_random_seed(config.training.seed)
    with precision(config.training.precision):
        options = builder_options(config.preset, config.architecture)
        return zoo.build(
            config.preset, dropout=config.dropout, **options, **teacher.tokenizer.vocabulary
        )


def train(config):
    """Asks the teacher, trains the student, exports, compares."""
    check_run_folder(config, config.inputs)
    teacher = load_teacher(config)
    train, valid, tests = read_data(config)
    model = build_model(config, teacher)
    decode = Decoder(teacher.tokenizer, config.search, config.lengths)
    task = TASKS[config.measured_as]
    score = Score(task.score, task.measure, decode, task.references(valid), task.mode)
    # As many batches as the teacher's targets will make, about: too few are refused before it speaks.
    pairs = Pairs([*train, *train]) if config.references else train
    training_batches(pairs, teacher.tokenizer, config.training, config.lengths)
    with open_run(config, config.inputs) as folder:
        pairs = distilled(config, teacher, train, folder)
        tokenizer, lengths = teacher.tokenizer, config.lengths
        batches = make_batches(pairs, valid, tests, tokenizer, config.training, lengths)
        tests = {name: task.references(pairs) for name, pairs in tests.items()}
        data = Data(tokenizer, *batches, tests)
        model, history = fit(model, data.train, data.valid, training_of(config), folder, score)
        save_model(model, data.tokenizer, folder)
        reports = export_bundles(config, folder, model, data, config.languages or None)
        scores, examples = evaluate(model, reports, score, tests, {"teacher": teacher.say})
        add_size_and_speed(scores, config, teacher, reports, valid)
        write_report(config, folder, model, data, history, score, reports, scores, examples)
    return Result(model, data.tokenizer, scores, reports)


def add_size_and_speed(scores, config, teacher, reports, pairs):
    """Adds megabytes and milliseconds a sentence, one at a time, measured in turns."""
    sources = [source for source, _ in spread(pairs, 24)]
    sayers = {"teacher": teacher.say}
    sayers |= {name: bundle_decoder(r.path, config.search) for name, r in reports.items()}
    seconds = {name: [] for name in sayers}
    for say in sayers.values():  # the first ones open files and trace graphs
        for source in sources[:2]:
            say([source])
    for source in sources:
        for name, say in sayers.items():
            start = time.perf_counter()
            say([source])
            seconds[name].append(time.perf_counter() - start)
    sizes = {name: report.file_size / 1e6 for name, report in reports.items()}
    for by in scores.values():
        for name, values in by.items():
            times = seconds.get(name)
            values["MB"] = sizes.get(name, teacher.megabytes if name == "teacher" else None)
            values["ms a sentence"] = 1000 * statistics.mean(times) if times else None


def main(arguments=None):
    """The command line."""
    run_recipe(__doc__, Config, train, arguments)


if __name__ == "__main__":
    main()
