"""Distillation: a smaller, faster student trained on the outputs of a teacher.

    seq2lite translate --preset transformer_small --output runs/teacher
    seq2lite distill --teacher runs/teacher --output runs/student

Sequence-level knowledge distillation (Kim and Rush 2016, https://arxiv.org/abs/1606.07947, section
3.2): the teacher decodes the training sources with beam search, and the student is trained on these
outputs instead of the references.

Data: the files that the teacher was trained on, or more of the same kind; `--measured-as` names the
kind. The teacher is the run folder of a recipe other than `generate`, a `.keras` file with
`tokenizer.model` in the same folder, or a bundle.

Output, in the folder `--output`: `report.md` with scores, size and speed of teacher and student;
`model.keras`; and a bundle for each quantization mode, such as `int8/`. To resume a stopped run, give
the same command again.
"""

import dataclasses
import functools
import json
import statistics
import time
import typing
from collections.abc import Callable
from pathlib import Path

import keras
from rich.progress import track

from seq2lite import export
from seq2lite.export.runtime.checks import require_positive
from seq2lite.export.runtime.container import is_bundle
from seq2lite.export.system.atomic import write_text
from seq2lite.recipes.ask import CONTEXT_WORDS, read_questions
from seq2lite.recipes.data.extension import extend
from seq2lite.recipes.data.options import DataOptions
from seq2lite.recipes.data.pairs import Pairs, read_pairs
from seq2lite.recipes.data.prepare import make_data, training_batches
from seq2lite.recipes.data.samples import VSCODE_TRAIN
from seq2lite.recipes.data.splits import for_training, read_splits, spread
from seq2lite.recipes.distributed import processes
from seq2lite.recipes.distributed.backend import can_export
from seq2lite.recipes.evaluation.bundles import export_model
from seq2lite.recipes.evaluation.decoding import Decoder, Score
from seq2lite.recipes.evaluation.evaluate import bundle_decoder, evaluate
from seq2lite.recipes.evaluation.metrics import (
    error_rates,
    question_scores,
    rouge_scores,
    translation_scores,
)
from seq2lite.recipes.options import check_choices, option
from seq2lite.recipes.pronounce import pronunciations, read_words
from seq2lite.recipes.run.base import read_text
from seq2lite.recipes.run.build import build_model
from seq2lite.recipes.run.command_line import run_recipe
from seq2lite.recipes.run.config import RecipeConfig, RunOptions
from seq2lite.recipes.run.folder import DISTILLED, open_run
from seq2lite.recipes.run.model import ModelOptions
from seq2lite.recipes.run.prepare import prepare_run
from seq2lite.recipes.run.report import write_report
from seq2lite.recipes.training.artifacts import (
    MODEL,
    TARGET_TOKENIZER,
    TOKENIZER,
)
from seq2lite.recipes.training.fit import fit
from seq2lite.recipes.training.result import RunResult


class Task(typing.NamedTuple):
    """How the recipe of a teacher reads and scores its data.

    Attributes:
        read: Function that reads pairs from files.
        references: Function from pairs to (source, reference) pairs for `measure`.
        score: Name of the number that selects the best checkpoint.
        mode: `"max"` if higher numbers are better, `"min"` if lower ones are.
        measure: Function of outputs and references to a dict of numbers.
    """

    read: Callable
    references: Callable
    score: str
    mode: str
    measure: Callable


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
        (str(VSCODE_TRAIN),), "a table of sources and targets; or a file of lines for each side"
    )
    references: bool = option(False, "train on the references too, not only on teacher outputs")
    max_source_length: int = option(96, "maximum source length in tokens; longer ones are cut")
    max_target_length: int = option(96, "maximum target length in tokens")
    context_words: int = option(CONTEXT_WORDS, "number of words around an answer, as in `ask`")

    def __post_init__(self):
        super().__post_init__()
        require_positive(context_words=self.context_words)


@dataclasses.dataclass(frozen=True)
class Config(RecipeConfig):
    """Options of a distillation run; each field of a group is a flag."""

    teacher: str = option("runs/translate", "run folder of a recipe, a .keras file, or a bundle")
    data: DistillationData = DistillationData()
    run: RunOptions = RunOptions(output="runs/distill")
    model: ModelOptions = ModelOptions(preset="student_tiny")
    measured_as: str = option("translation", f"task of the teacher: {', '.join(TASKS)}")

    def __post_init__(self):
        super().__post_init__()
        check_choices("measured_as", [self.measured_as], TASKS)

    @property
    def inputs(self) -> tuple[str, ...]:
        """All files that the run reads: the data and the teacher."""
        teacher = Path(self.teacher)
        folder = teacher.parent if teacher.suffix == ".keras" else teacher
        names = (MODEL, TOKENIZER, TARGET_TOKENIZER, "bundle.json")
        named = [folder / name for name in names]
        teachers = [str(file) for file in dict.fromkeys((teacher, *named)) if file.is_file()]
        return (*super().inputs, *teachers)


class Teacher(typing.NamedTuple):
    """A trained model as a function from source texts to target texts.

    Attributes:
        decode: The function.
        tokenizer: Its `Tokenizer`, or one for each side.
        megabytes: Size of its weights or files.
    """

    decode: Callable[[list[str]], list[str]]
    tokenizer: export.Tokenizer | tuple[export.Tokenizer, export.Tokenizer]
    megabytes: float


CHUNK = 512  # sources that are decoded and saved at a time; a stop loses at most one chunk


def load_teacher(config: Config) -> Teacher:
    """Open the teacher: a bundle, or the Keras model of a run folder."""
    path = Path(config.teacher)
    if path.exists() and is_bundle(path):
        sides = export.load(path).tokenizers
        size = sum(f.stat().st_size for f in path.rglob("*.tflite")) if path.is_dir() else 0
        return Teacher(
            bundle_decoder(path, num_beams=1 if config.search.num_beams == 1 else None),
            sides.one_or_both,
            (size or path.stat().st_size) / 1e6,
        )
    file = path if path.suffix == ".keras" else path / MODEL
    error = ValueError(
        "`teacher` must be a run folder with model.keras, a .keras file with its tokenizer, in the "
        "file or as tokenizer.model in the same folder, or a bundle. "
        f"Received: {config.teacher}"
    )
    if not file.is_file():
        raise error
    model = keras.saving.load_model(file)
    if (text := read_text(file, model.start_id)) is None:
        raise error
    tokenizer = text[0].one_or_both
    decode = Decoder(tokenizer, config.search, config.data.max_lengths)
    return Teacher(lambda texts: decode(model, texts), tokenizer, 4 * model.count_params() / 1e6)


def read_data(config: Config) -> tuple[Pairs, Pairs, dict[str, Pairs]]:
    """Read the pairs with their references."""
    read = TASKS[config.measured_as].read
    if read is read_questions:
        read = functools.partial(read, context_words=config.data.context_words)
    return read_splits(config.data, read)


def teacher_pairs(config: Config, teacher: Teacher, pairs: Pairs, folder: Path) -> Pairs:
    """Replace the targets by outputs of the teacher, or add them with `--references`.

    Each chunk of outputs is saved in the run folder. A resumed run reads it from there.
    """
    sources, outputs = list(dict.fromkeys(source for source, _ in pairs)), []
    for start in track(range(0, len(sources), CHUNK), "decoding with the teacher", disable=None):
        file = folder / DISTILLED / f"{start:08}.json"
        chunk = sources[start : start + CHUNK]
        outputs += processes.from_first(functools.partial(_saved_outputs, file, teacher, chunk))
    output_of = dict(zip(sources, outputs, strict=True))
    distilled = Pairs(
        [(source, output_of[source]) for source, _ in pairs],
        pairs.lines,
        pairs.origin,
        pairs.dropped,
        notes=pairs.notes,
    ).filter(lambda source, target: target, "empty teacher output")
    if not distilled:
        raise ValueError(
            f"`teacher` must generate text. Received: {config.teacher}, whose outputs for "
            f"{len(sources)} sources are all empty"
        )
    if config.data.references:
        both, lines = [*pairs, *distilled], [*pairs.lines, *distilled.lines]
        distilled = Pairs(both, lines, distilled.origin, distilled.dropped, notes=pairs.notes)
    return for_training(distilled)


def _saved_outputs(file, teacher, sources):
    """Return the teacher's outputs, read from the file if it exists and saved there if not."""
    if not file.exists():
        write_text(file, json.dumps(teacher.decode(sources), ensure_ascii=False))
    return json.loads(file.read_text("utf-8"))


def train(config: Config) -> RunResult:
    """Decode with the teacher; train, export and score the student."""
    run = prepare_run(config)
    config = run.config
    teacher = load_teacher(config)
    train, valid, tests = read_data(config)
    tokenizer = config.base.tokenizer if config.base else teacher.tokenizer
    tokenizer = extend(tokenizer, train, config)
    model = build_model(config, tokenizer)
    decode = Decoder(tokenizer, config.search, config.data.max_lengths)
    task = TASKS[config.measured_as]
    score = Score(task.score, task.measure, decode, task.references(valid), task.mode)
    # Refuses too few batches before the teacher decodes: its outputs make about as many.
    pairs = Pairs([*train, *train]) if config.data.references else train
    training_batches(config, pairs, tokenizer)
    with open_run(run) as folder:
        pairs = teacher_pairs(config, teacher, train, folder)
        data = make_data(config, pairs, valid, tests, tokenizer)
        tests = {name: task.references(pairs) for name, pairs in tests.items()}
        data = dataclasses.replace(data, tests=tests)
        result = fit(model, data, config.training, folder, score)
        if can_export():  # under JAX, `open_run` prints the command for the rest
            result = export_model(result, config)
            result = evaluate(result, score, {"teacher": teacher.decode})
            add_size_and_speed(result, config, teacher, valid)
            write_report(result, run)
    return result


def add_size_and_speed(result: RunResult, config: Config, teacher: Teacher, pairs: Pairs) -> None:
    """Add the size in MB and the time per sentence, at batch size 1, to the scores of a run."""
    sources = [source for source, _ in spread(pairs, 24)]
    decoders = {"teacher": teacher.decode}
    decoders |= {name: bundle_decoder(r.path) for name, r in result.reports.items()}
    seconds: dict[str, list[float]] = {name: [] for name in decoders}
    for decode in decoders.values():  # the first calls open files and trace graphs
        for source in sources[:2]:
            decode([source])
    for source in sources:  # in turns, so that other work on the machine affects all alike
        for name, decode in decoders.items():
            start = time.perf_counter()
            decode([source])
            seconds[name].append(time.perf_counter() - start)
    sizes = {name: report.file_size / 1e6 for name, report in result.reports.items()}
    for by in result.scores.values():
        for name, values in by.items():
            times = seconds.get(name)
            values["MB"] = sizes.get(name, teacher.megabytes if name == "teacher" else None)
            values["ms per sentence"] = 1000 * statistics.mean(times) if times else None


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    run_recipe(__doc__, Config, train, arguments)


if __name__ == "__main__":
    main()
