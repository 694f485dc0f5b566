"""The report of a run: scores, curves, examples, and the command that repeats it."""

import dataclasses
import json
import platform
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from rich.text import Text

from seq2lite.export.runtime.container import describe_search
from seq2lite.export.system.atomic import write_atomically, write_text

from ..data.pairs import PART
from ..data.samples import shortened
from ..evaluation.metrics import signatures
from ..training.history import History, measure_names
from ..training.result import RunResult
from .command_line import process_command
from .record import Run

PACKAGES = (
    "seq2lite",
    "tensorflow",
    "keras",
    "sentencepiece",
    "sacrebleu",
    "rouge-score",
    "rapidfuzz",
    "ai-edge-litert",
    "numpy",
)


def write_report(result: RunResult, run: Run) -> None:
    """Write `report.md`, its curves, and its numbers as JSON; print the scores.

    Args:
        result: The complete `RunResult`.
        run: The `Run`.
    """
    folder, history = result.folder, result.history
    report = shortened("\n".join(_report(result, run)) + "\n")
    scores = shortened(json.dumps(result.scores, indent=1, ensure_ascii=False))
    names = measure_names(run.config.training.label_smoothing)
    table, figure = score_table(result.scores), draw_curves(history, names)
    write_atomically(folder / "curves.png", lambda partial: figure.savefig(partial, dpi=120))
    write_text(folder / "history.json", json.dumps(history.evaluations, indent=1))
    write_text(folder / "scores.json", scores)
    write_text(folder / "report.md", report)
    print_table(table)
    print(f"report: {folder / 'report.md'}", flush=True)


def score_table(scores: dict) -> Table:
    """Return the scores as a table for the terminal.

    Args:
        scores: The scores of a `RunResult`.
    """
    metrics = _metrics(scores)
    table = Table(title="Scores")
    table.add_column("test data")
    table.add_column("model")
    for metric in metrics:
        table.add_column(metric, justify="right")
    for test, candidates in scores.items():
        part = PART if test.startswith(PART) else ""
        test = part + Path(test.removeprefix(part)).name
        for name, values in candidates.items():
            cells = [test, name, *(_score(values.get(metric)) for metric in metrics)]
            table.add_row(*map(Text, cells))  # `Text`: a name may contain brackets
            test = ""
        table.add_section()
    return table


def print_table(table: Table) -> None:
    """Print a table, in 120 columns where the output is no terminal."""
    Console(width=None if Console().is_terminal else 120).print(table)


def draw_curves(history: History, names: Mapping[str, str]) -> Figure:
    """Draw the losses and the score of every evaluation.

    Args:
        history: The `History` of the training.
        names: Names of the losses for people, by their keys.
    """
    figure = Figure(figsize=(8, 3), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    numbers = range(1, len(history) + 1)
    for key, label in names.items():
        losses.plot(numbers, [e[key] for e in history.evaluations], marker=".", label=label)
    losses.set(xlabel="evaluation", ylabel="cross-entropy (nats per token)")
    losses.legend(frameon=False)
    if history.metric == "val_loss":
        scores.axis("off")
    else:
        values = [evaluation[history.metric] for evaluation in history.evaluations]
        scores.plot(numbers, values, marker=".", color="tab:green")
        scores.set(xlabel="evaluation", ylabel=f"{history.metric}, held-out")
    for axes in (losses, scores):
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def describe_weights(result: RunResult) -> str:
    """Return sentences that name the evaluations whose weights are exported, and the reason.

    Args:
        result: The `RunResult` of a training.
    """
    history, averaged = result.history, list(result.averaged)
    if len(averaged) == 1:
        source = f"The exported weights are those of {_evaluations(averaged)}"
    else:
        source = f"The exported weights are the mean of those of {_evaluations(averaged)}"
    reason = "lowest loss" if history.metric == "val_loss" else f"best {history.metric}"
    text = f"{source}, selected by the {reason} on held-out data."
    if lost := history.lost():
        text += f" Ignored, because the checkpoint is corrupted or deleted: {_evaluations(lost)}."
    return text


def _report(result, run):
    """Yield the lines of the report."""
    config, record = run.config, run.record
    history, reports = result.history, result.reports
    minutes = sum(evaluation["seconds"] for evaluation in history.evaluations) / 60
    yield f"# {record['recipe']}: {config.model.preset}\n"
    yield (
        f"`{result.model.name}`, {result.model.count_params():,} parameters. Training took "
        f"{minutes:.1f} minutes, including {len(history)} evaluations. {describe_weights(result)}\n"
    )
    if init_from := config.fine_tuning.init_from:
        yield shortened(f"The initial weights are those of `{init_from}`.\n")
    yield from (f"- {line}" for line in result.data.summary)
    yield "\n## Scores\n"
    metrics = _metrics(result.scores)
    sizes = {name: f"{report.file_size / 1e6:.2f}" for name, report in reports.items()}
    yield from _table(
        ["test data", "model", "file (MB)", *metrics],
        [
            [test, name, sizes.get(name, ""), *(_score(values.get(metric)) for metric in metrics)]
            for test, candidates in result.scores.items()
            for name, values in candidates.items()
        ],
    )
    if "BLEU" in metrics or "chrF" in metrics:
        yield "\n" + ", ".join(f"{name} `{text}`" for name, text in signatures().items())
    if any("Keras" in outputs for shown in result.examples.values() for _, _, outputs in shown):
        yield f"\nTargets are generated by {_searches(config, reports)}."
    yield "\n## Curves\n\n![Loss and score of each evaluation](curves.png)\n"
    columns = [name for name in history.evaluations[0] if name != "is_lost"]
    rows = [[_number(evaluation[name]) for name in columns] for evaluation in history.evaluations]
    names = measure_names(config.training.label_smoothing)
    yield from _table([names.get(column, column) for column in columns], rows)
    if config.training.label_smoothing:
        yield (
            "\nThe training loss includes label smoothing and dropout, so it is higher than the held-out "
            "loss of an equally good model."
        )
    yield "\n## Examples\n"
    for test, examples in result.examples.items():
        yield f"{test}\n"
        yield from _table(
            ["source", "reference", *examples[0][2]],
            [
                [
                    source,
                    reference if isinstance(reference, str) else " / ".join(reference),
                    *out.values(),
                ]
                for source, reference, out in examples
            ],
        )
        yield ""
    yield "## Repeat the run\n"
    if not result.is_complete:
        yield (
            f"This exports the training after evaluation {len(history)}. The command trains to the "
            "end.\n"
        )
    yield from _command(record)
    yield from _table(
        ["option", "value"], [[k, json.dumps(v, ensure_ascii=False)] for k, v in record.items()]
    )
    yield ""
    packages = [*PACKAGES, *(["jax"] if record["backend"] == "jax" else [])]
    versions = [
        ["Python", platform.python_version()],
        *([name, version(name)] for name in packages),
    ]
    yield from _table(["package", "version"], versions)
    if reports:
        links = ", ".join(f"[{name}]({name}/report.md)" for name in reports)
        yield f"\nEach bundle has its own report: {links}"


def _searches(config, reports):
    """Name the search of Keras, and the bundles that have another one."""
    text = describe_search(**dataclasses.asdict(config.search))
    greedy = [name for name, report in reports.items() if report.search["num_beams"] == 1]
    if greedy and config.search.num_beams > 1:
        text += f"; in {' and '.join(greedy)} by greedy search, because static files have no beam search"
    return text


def _command(record):
    """Yield the command of this process as a block of Markdown."""
    command = [argument for argument in process_command() if argument != "--finish"]
    prefix = "KERAS_BACKEND=jax " if record["backend"] == "jax" else ""
    yield "```sh"
    yield prefix + shlex.join(command)
    yield "```\n"


def _metrics(scores):
    """Return the names of all metrics; tests may have different ones."""
    values = (values for candidates in scores.values() for values in candidates.values())
    return list(dict.fromkeys(metric for each in values for metric in each))


def _evaluations(numbers):
    *others, last = map(str, numbers)
    return f"evaluations {', '.join(others)} and {last}" if others else f"evaluation {last}"


def _table(header: Sequence[str], rows: Iterable[Iterable]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(str(c).replace("|", "\\|").replace("\n", " ") for c in row) + " |"


def _score(value):
    return "" if value is None else f"{value:.2f}" if abs(value) < 1e6 else f"{value:.3g}"


def _number(value):
    return str(value) if isinstance(value, int) else f"{value:.4g}"
