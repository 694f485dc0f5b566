"""The steps from data and model to report that most recipes share."""

from collections.abc import Callable, Mapping

from seq2lite.zoo import Seq2Seq

from ..data.prepare import Data
from ..distributed.backend import can_export
from ..evaluation.bundles import export_model
from ..evaluation.decoding import Score
from ..evaluation.evaluate import evaluate
from ..training.fit import fit
from ..training.result import RunResult
from .folder import open_run
from .record import Run
from .report import write_report


def train_and_score(
    run: Run,
    model: Seq2Seq,
    data: Data,
    score: Score,
    baselines: Mapping[str, Callable[[list[str]], list[str]]] | None = None,
) -> RunResult:
    """Train a model in the run folder, export and score it, and write the report.

    Under a backend that cannot export, it only trains: `open_run` prints the command for the rest,
    which `run_recipe` starts.

    Args:
        run: The `Run`, from `prepare_run`.
        model: A `zoo.Seq2Seq`.
        data: The `Data` to train on and to score with.
        score: The `Score` that selects the best weights.
        baselines: Functions from sources to targets to compare with, by name. Default: none.
    """
    with open_run(run) as folder:
        result = fit(model, data, run.config.training, folder, score)
        if can_export():
            result = export_model(result, run.config)
            result = evaluate(result, score, baselines)
            write_report(result, run)
    return result
