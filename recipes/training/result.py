"""The result of a run."""

import dataclasses
from pathlib import Path

from seq2lite.export.report import Report
from seq2lite.zoo import Seq2Seq

from ..data.prepare import Data
from .history import History


@dataclasses.dataclass(frozen=True)
class RunResult:
    """The result of a run: `fit` makes it, and each later stage returns it with its own part added.

    Attributes:
        folder: The run folder.
        data: The `Data` of the run.
        model: The best model, in float32, uncompiled.
        history: The `History` of the training.
        averaged: Numbers of the evaluations whose weights are averaged in `model`.
        is_complete: Whether the training has ended, so that resuming would not continue it.
        reports: The `export.Report` of each bundle, by quantization mode.
        scores: Numbers by name of the test, by candidate ("Keras", a quantization mode, or a
            baseline) and by metric.
        examples: By name of the test, a list of (source, reference, outputs by candidate).
    """

    folder: Path
    data: Data
    model: Seq2Seq
    history: History
    averaged: tuple[int, ...]
    is_complete: bool
    reports: dict[str, Report] = dataclasses.field(default_factory=dict)
    scores: dict[str, dict] = dataclasses.field(default_factory=dict)
    examples: dict[str, list] = dataclasses.field(default_factory=dict)
