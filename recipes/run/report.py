"""What came out of a run: scores of Keras and of every bundle, curves, examples, and how to repeat it."""

import inspect
import json
import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

import keras
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from rich.text import Text

from seq2lite.export import load
from seq2lite.export.system.atomic import write_atomically

from ..data.pairs import PART
from ..data.prepare import describe
from ..evaluation.metrics import signatures
from ..training.evaluations import best_round
from .command_line import program
from .folder import RECORD, save_text

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


def write_report(config, folder, model, data, history, score, reports, scores, examples):
    """Writes `report.md`, its curves, and the same numbers as JSON; prints the scores.

    Args:
        config: The recipe's Config.
        folder: The run's folder.
        model: The trained model.
        data: The recipe's Data, with the `Batches` that it was trained on and held-out ones.
        history: List of dicts, one a round, as `fit` gives it.
        score: The `Score` that chose the best round; None: the loss on held-out text did.
        reports: dict, quantization to the `export.Report` of its bundle.
        scores: As `evaluate` gives them.
        examples: As `evaluate` gives them.
    """
    draw_curves(history, score and score.name, folder / "curves.png")
    save_text(folder / "history.json", json.dumps(history, indent=1))
    save_text(folder / "scores.json", json.dumps(scores, indent=1, ensure_ascii=False))
    lines = _report(config, folder, model, data, history, score, reports, scores, examples)
    save_text(folder / "report.md", "\n".join(lines) + "\n")
    Console(width=None if Console().is_terminal else 120).print(score_table(scores))
    print(f"report: {folder / 'report.md'}", flush=True)


def score_table(scores):
    """The scores as a `rich.Table`."""
    metrics = _metrics(scores)
    table = Table(title="Scores")
    table.add_column("held-out text")
    table.add_column("by")
    for metric in metrics:
        table.add_column(metric, justify="right")
    for test, by in scores.items():
        part = PART if test.startswith(PART) else ""
        test = part + Path(test.removeprefix(part)).name
        for name, values in by.items():
            cells = [test, name, *(_score(values.get(metric)) for metric in metrics)]
            table.add_row(*map(Text, cells))  # as they are: a name may have brackets
            test = ""
        table.add_section()
    return table


def draw_curves(history, name, path):
    """Losses and the score of every round, a PNG.

    Args:
        history: List of dicts, one a round.
        name: Of the score that chose the best one; None: the loss did.
        path: File to write.
    """
    figure = Figure(figsize=(8, 3), layout="constrained")
    losses, scored = figure.subplots(1, 2)
    rounds = range(1, len(history) + 1)
    for key, label in (("loss", "training, smoothed"), ("val_loss", "held out")):
        losses.plot(rounds, [h[key] for h in history], marker=".", label=label)
    losses.set(xlabel="round", ylabel="nats a token")
    losses.legend(frameon=False)
    if name in history[0]:
        scored.plot(rounds, [h[name] for h in history], marker=".", color="tab:green")
        scored.set(xlabel="round", ylabel=f"{name}, held out")
    else:
        scored.axis("off")
    for axes in (losses, scored):
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    write_atomically(path, lambda partial: figure.savefig(partial, dpi=120))


def _report(config, folder, model, data, history, score, reports, scores, examples):
    options = json.loads((folder / RECORD).read_text("utf-8"))
    recipe = inspect.getfile(type(config))  # a copy of one has its own name
    yield f"# {Path(recipe).stem}: {config.preset}\n"
    yield (
        f"`{model.name}`, {model.count_params():,} parameters. {len(history)} rounds took "
        f"{sum(h['seconds'] for h in history) / 60:.1f} minutes, the scores after each among them. "
        f"{_shipped(config, history, score)}\n"
    )
    yield from (f"- {line}" for line in describe(data.train, data.valid))
    yield "\n## Scores\n"
    metrics = _metrics(scores)
    yield from _table(
        ["held-out text", "by", "file, MB", *metrics],
        [
            [test, name, f"{reports[name].file_size / 1e6:.2f}" if name in reports else ""]
            + [_score(values.get(metric)) for metric in metrics]
            for test, by in scores.items()
            for name, values in by.items()
        ],
    )
    if "BLEU" in metrics or "chrF" in metrics:
        yield "\n" + ", ".join(f"{name} `{said}`" for name, said in signatures().items())
    greedy = [name for name in reports if load(reports[name].path).beam_ids is None]
    if greedy and config.search.num_beams > 1:
        yield f"\nWhere Keras has {config.search.num_beams} beams, {', '.join(greedy)} has one: it searches greedily."
    yield "\n## Curves\n\n![Loss and score of each round](curves.png)\n"
    columns = [name for name in history[0] if name not in ("is_lost", "began")]
    yield from _table(columns, [[_number(row[name]) for name in columns] for row in history])
    yield "\n## Examples\n"
    for test, rows in examples.items():
        names = list(rows[0][2])
        yield f"{test}\n"
        yield from _table(
            ["source", "reference", *names],
            [[source, _text(reference), *outputs.values()] for source, reference, outputs in rows],
        )
        yield ""
    yield "## How to repeat it\n"
    if config.training.finish:
        yield f"`--finish` exported this after round {len(history)}; the command goes on to the end.\n"
    yield "```sh"
    backend = options.get("backend", keras.backend.backend())
    arguments = [argument for argument in sys.argv[1:] if argument != "--finish"]
    yield ("KERAS_BACKEND=jax " if backend == "jax" else "") + shlex.join(
        ["python", *program(), *arguments]
    )
    yield "```\n"
    yield from _table(
        ["option", "value"], [[k, json.dumps(v, ensure_ascii=False)] for k, v in options.items()]
    )
    yield ""
    yield from _table(
        ["", "version"],
        [
            ["Python", platform.python_version()],
            ["Keras backend of the training", backend],
            *([name, version(name)] for name in PACKAGES),
            *([["jax", version("jax")]] if backend == "jax" else []),
        ],
    )
    if reports:
        yield "\nEach bundle has a report of its own: " + ", ".join(
            f"[{name}]({name}/report.md)" for name in reports
        )


def _metrics(scores):
    """Names of all numbers; a test need not have those of the others."""
    every = (values for by in scores.values() for values in by.values())
    return list(dict.fromkeys(metric for values in every for metric in values))


def _shipped(config, history, score):
    """Which round's weights these are."""
    best = best_round(history, score)
    lost = [h["round"] for h in history if h.get("is_lost")]
    first = max(1, best - config.training.average + 1)
    rounds = [number for number in range(first, best + 1) if number not in lost]
    is_scored = score is not None and score.name in history[0]
    why = f"best {score.name}" if is_scored else "least loss"
    which = f"Round {best} ships" if rounds == [best] else f"The mean of {_rounds(rounds)} ships"
    said = f" Lost, as torn or no longer kept: {_rounds(lost)}." if lost else ""
    return f"{which}, by the {why} on held-out text.{said}"


def _rounds(numbers):
    *some, last = map(str, numbers)
    return f"rounds {', '.join(some)} and {last}" if some else f"round {last}"


def _table(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(str(c).replace("|", "\\|").replace("\n", " ") for c in row) + " |"


def _text(reference):
    return reference if isinstance(reference, str) else " / ".join(reference)


def _score(value):
    return "" if value is None else f"{value:.2f}" if abs(value) < 1e6 else f"{value:.3g}"


def _number(value):
    return str(value) if isinstance(value, int) else f"{value:.4g}"
