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

from seq2lite import export
from seq2lite.export.runtime.checks import require_positive
from seq2lite.export.runtime.container import is_bundle
from seq2lite.recipes.ask import CONTEXT_WORDS, read_questions
from seq2lite.recipes.data.options import DataOptions
from seq2lite.recipes.data.pairs import Pairs, read_pairs
from seq2lite.recipes.data.prepare import make_data, training_batches
from seq2lite.recipes.data.samples import VSCODE_TRAIN
from seq2lite.recipes.data.splits import for_training, read_splits, spread
from seq2lite.recipes.distributed import processes
from seq2lite.recipes.distributed.backend import can_export
from seq2lite.recipes.evaluation.bundles import bundle_decoder, export_model
from seq2lite.recipes.evaluation.decoding import Decoder, Score
from seq2lite.recipes.evaluation.evaluate import evaluate
from seq2lite.recipes.evaluation.metrics import (
    error_rates,
    question_scores,
    rouge_scores,
    translation_scores,
)
from seq2lite.recipes.options import check_choices, option
from seq2lite.recipes.pronounce import pronunciations, read_words
from seq2lite.recipes.run.command_line import run_recipe
from seq2lite.recipes.run.config import RecipeConfig, RunOptions
from seq2lite.recipes.run.folder import DISTILLED, open_run, prepare_run, save_text
from seq2lite.recipes.run.model import ModelOptions, build_model
from seq2lite.recipes.run.report import write_report
from seq2lite.recipes.training.fit import fit

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
class DistillationData(DataOptions):
    """Data options; each field is a flag."""

    train: tuple[str, ...] = option(
        (str(VSCODE_TRAIN),), "lines of source, tab, target; or a file of each; plain or .gz"
    )
    references: bool = option(False, "train on the references too, not only on teacher outputs")
    max_source_length: int = option(96, "maximum source length in tokens; longer ones are cut")
    max_target_length: int = option(96, "maximum target length in tokens")
    context_words: int = option(CONTEXT_WORDS, "`--context-words` of a teacher of questions")

    def __post_init__(self):
        super().__post_init__()
        require_positive(context_words=self.context_words)

    @property
    def max_lengths(self):
        """Maximum source and target length in tokens."""
        return self.max_source_length, self.max_target_length


@dataclasses.dataclass(frozen=True)
class Config(RecipeConfig):
    """Options of a distillation run; each field of a group is a flag."""

    teacher: str = option("runs/translate", "run folder of a recipe, a .keras file, or a bundle")
    data: DistillationData = DistillationData()
    run: RunOptions = RunOptions(output="runs/distill")
    model: ModelOptions = ModelOptions(preset="student_tiny")
    measured_as: str = option("translation", f"kind of target: {', '.join(TASKS)}")
    languages: tuple[str, ...] = option((), "language tags of source and target; default: none")

    def __post_init__(self):
        super().__post_init__()
        check_choices("measured_as", [self.measured_as], TASKS)
        if len(self.languages) not in (0, 2):
            raise ValueError(f"`languages` must be two tags. Received: {' '.join(self.languages)}")

    @property
    def inputs(self):
        """The data files, and those of the teacher."""
        teacher = Path(self.teacher)
        folder = teacher.parent if teacher.suffix == ".keras" else teacher
        named = [folder / name for name in ("model.keras", "tokenizer.model", "bundle.json")]
        teachers = [str(file) for file in dict.fromkeys((teacher, *named)) if file.is_file()]
        return (*super().inputs, *teachers)


Teacher = namedtuple("Teacher", ["say", "tokenizer", "megabytes"])
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
    decode = Decoder(tokenizer, config.search, config.data.max_lengths)
    return Teacher(lambda texts: decode(model, texts), tokenizer, 4 * model.count_params() / 1e6)


def read_data(config):
    """Reads the pairs, as they are."""
    read = TASKS[config.measured_as].read
    if read is read_questions:
        read = functools.partial(read, context_words=config.data.context_words)
    return read_splits(config.data, read)


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
    if config.data.references:
        both, lines = [*pairs, *taught], [*pairs.lines, *taught.lines]
        taught = Pairs(both, lines, taught.origin, taught.dropped)
    return for_training(taught)


def train(config):
    """Asks the teacher, trains the student, exports, compares; returns a `RunResult`."""
    config = prepare_run(config)
    teacher = load_teacher(config)
    train, valid, tests = read_data(config)
    model = build_model(config.model, config.training, teacher.tokenizer)
    decode = Decoder(teacher.tokenizer, config.search, config.data.max_lengths)
    task = TASKS[config.measured_as]
    score = Score(task.score, task.measure, decode, task.references(valid), task.mode)
    # About as many batches as the teacher's targets will make: too few are refused before it runs.
    pairs = Pairs([*train, *train]) if config.data.references else train
    training_batches(config, pairs, teacher.tokenizer)
    with open_run(config) as folder:
        pairs = distilled(config, teacher, train, folder)
        data = make_data(config, pairs, valid, tests, teacher.tokenizer)
        tests = {name: task.references(pairs) for name, pairs in tests.items()}
        data = dataclasses.replace(data, tests=tests)
        result = fit(model, data, config.training, folder, score)
        if can_export():  # under JAX, `run_recipe` starts a second command for the rest
            result = export_model(result, config, config.languages or None)
            result = evaluate(result, score, {"teacher": teacher.say})
            add_size_and_speed(result, config, teacher, valid)
            write_report(result, config)
    return result


def add_size_and_speed(result, config, teacher, pairs):
    """Adds megabytes and milliseconds a sentence, one at a time, measured in turns."""
    sources = [source for source, _ in spread(pairs, 24)]
    sayers = {"teacher": teacher.say}
    sayers |= {name: bundle_decoder(r.path, config.search) for name, r in result.reports.items()}
    seconds = {name: [] for name in sayers}
    for say in sayers.values():  # the first ones open files and trace graphs
        for source in sources[:2]:
            say([source])
    for source in sources:
        for name, say in sayers.items():
            start = time.perf_counter()
            say([source])
            seconds[name].append(time.perf_counter() - start)
    sizes = {name: report.file_size / 1e6 for name, report in result.reports.items()}
    for by in result.scores.values():
        for name, values in by.items():
            times = seconds.get(name)
            values["MB"] = sizes.get(name, teacher.megabytes if name == "teacher" else None)
            values["ms a sentence"] = 1000 * statistics.mean(times) if times else None


def main(arguments=None):
    """The command line."""
    run_recipe(__doc__, Config, train, arguments)


if __name__ == "__main__":
    main()
