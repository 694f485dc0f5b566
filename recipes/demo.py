"""Demo of both model families, from text to exported files. `make demo` runs it.

    seq2lite demo

Trains the tiny Transformer and the tiny RNN on the package's English-Korean strings, and exports each
as float32 and int8 bundles. Prints their scores, sizes and speeds, and translations by the int8 files.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from rich.table import Table
from rich.text import Text

from seq2lite import export
from seq2lite.here import seq2lite_here
from seq2lite.recipes import translate
from seq2lite.recipes.data.pairs import read_pairs
from seq2lite.recipes.options import Configuration, option
from seq2lite.recipes.run.command_line import run_recipe
from seq2lite.recipes.run.prepare import prepare_run
from seq2lite.recipes.run.report import print_table
from seq2lite.recipes.training.options import Training
from seq2lite.recipes.training.result import RunResult

TRAINING = Training(epochs=8, score_pairs=0)
# Options of each family that differ from the defaults of the recipe.
FAMILIES: dict[str, dict[str, Any]] = {
    "Transformer": {"preset": "transformer_tiny"},
    "RNN Seq2Seq": {"preset": "rnn_tiny", "dropout": 0.2},
}
NUM_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Config(Configuration):
    """Options of the demo; each field is a flag."""

    output: str = option("runs/demo", "folder of the run folders, one for each model family")
    overwrite: bool = option(False, "replace the runs of an earlier demo")


def train(config: Config) -> None:
    """Train and export both families, and print scores and translations."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"`KERAS_BACKEND` must be tensorflow. Received: {keras.backend.backend()}")
    runs = {
        family: translate.Config.of(
            output=f"{config.output}/{options['preset']}",
            overwrite=config.overwrite,
            training=TRAINING,
            **options,
        )
        for family, options in FAMILIES.items()
    }
    for run in runs.values():
        prepare_run(run)
    results = {}
    for family, run in runs.items():
        print(f"\n{family}", flush=True)
        results[family] = translate.train(run)
    pairs = read_pairs(*run.data.held_out)
    files = {
        family: {
            quantization: export.load(report.path)
            for quantization, report in result.reports.items()
        }
        for family, result in results.items()
    }
    print_table(score_table(results))
    print_table(translation_table(files, pairs))
    best = results[best_family(results)].reports["int8"].path
    print(f"Try: {seq2lite_here('run', str(best), 'Open File')}")


def best_family(results: Mapping[str, RunResult]) -> str:
    """Return the family whose int8 file has the highest chrF."""
    chrf = {}
    for family, result in results.items():
        (scores,) = result.scores.values()
        chrf[family] = scores["int8"]["chrF"]
    return max(chrf, key=lambda family: chrf[family])


def score_table(results: Mapping[str, RunResult]) -> Table:
    """Make a table of chrF, size and speed of Keras and each file."""
    table = Table(
        title="chrF with beam search; tokens/s with greedy search, batch size 1, one thread"
    )
    for column in ("family", "parameters", "run by", "chrF", "file, MB", "tokens/s", "speed-up"):
        table.add_column(column, justify="left" if column in ("family", "run by") else "right")
    for family, result in results.items():
        (scores,) = result.scores.values()
        chrf = {name: f"{values['chrF']:.2f}" for name, values in scores.items()}
        report = list(result.reports.values())[-1]
        speed = _speed(report.keras_tokens_per_second, report)
        table.add_row(family, f"{report.num_parameters:,}", "Keras", chrf["Keras"], "", *speed)
        for name, report in result.reports.items():
            size, speed = f"{report.file_size / 1e6:.2f}", _speed(report.tokens_per_second, report)
            table.add_row("", "", f"{name} file", chrf[name], size, *speed)
        table.add_section()
    return table


def _speed(tokens_per_second, report):
    """Two cells: a speed, and its ratio to Keras."""
    if report.measurements is None:
        return "not measured", ""
    return f"{tokens_per_second:.0f}", f"{tokens_per_second / report.keras_tokens_per_second:.1f}x"


def translation_table(
    files: Mapping[str, Mapping[str, export.Runner]], pairs: Sequence[tuple[str, str]]
) -> Table:
    """Make a table of held-out strings, their references and translations by the int8 files."""
    families = list(files)
    table = Table(title="Held-out strings translated by the int8 files", show_lines=True)
    for column in ("English", "reference", *families):
        table.add_column(column)
    # Short strings from all over the held-out set.
    readable = [pair for pair in pairs if len(pair[0]) <= 60]
    shown = readable[:: max(1, len(readable) // NUM_SHOWN)][:NUM_SHOWN]
    sources = [source for source, _ in shown]
    columns = [files[family]["int8"].generate(sources) for family in families]
    for (source, reference), *outputs in zip(shown, *columns, strict=True):
        table.add_row(*map(Text, [source, reference, *outputs]))
    return table


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    run_recipe(
        __doc__,
        Config,
        train,
        arguments,
        "give the same command to resume; if one family is finished, with --overwrite, which trains it again",
    )


if __name__ == "__main__":
    main()
