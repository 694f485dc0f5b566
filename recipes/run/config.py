"""The options of a run, in groups that all recipes share."""

import dataclasses
import functools
import inspect
import re
from pathlib import Path
from typing import Any, Self, cast

from seq2lite.export.quantization.modes import QUANTIZATIONS

from ..data.options import DataOptions
from ..distributed.machine import Machine
from ..evaluation.decoding import Search
from ..options import Configuration, Options, check_choices, flatten, option, replace
from ..training.options import Training
from .base import BaseModel
from .fine_tuning import FineTuning, base_options
from .model import ModelOptions

# Peak learning rate of a run that starts from a trained model, relative to that of random weights.
FINE_TUNING_RATE = 0.25


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Options of the run folder and the export; each field is a flag of every recipe."""

    output: str = option("runs/run", "run folder")
    overwrite: bool = option(
        False, "replace the run in the folder if it is finished or has other options"
    )
    quantizations: tuple[str, ...] = option(
        ("float32", "int8"),
        f"quantization modes, one bundle each: {', '.join(QUANTIZATIONS)}; without a value: none",
    )
    languages: tuple[str, ...] = option(
        (),
        "language tags of source and target, stored in the bundles; default: none; en ko for the "
        "package's data of `translate`",
    )
    measure: bool = option(True, "measure speed and memory of each bundle for its report")

    def __post_init__(self):
        check_choices("quantizations", self.quantizations, QUANTIZATIONS)
        if len(set(self.quantizations)) < len(self.quantizations):
            raise ValueError(
                "`quantizations` must contain each mode once. "
                f"Received: {' '.join(self.quantizations)}"
            )
        if len(self.languages) not in (0, 2):
            raise ValueError(f"`languages` must be two tags. Received: {' '.join(self.languages)}")


@dataclasses.dataclass(frozen=True)
class RecipeConfig(Configuration):
    """All options of a recipe: groups, whose fields are flags, and the machine.

    A recipe subclasses it: it sets the groups `data` and `run`, changes the defaults of others,
    and adds options of its own.

    Attributes:
        data: Data files, vocabulary and lengths.
        model: Preset and architecture.
        training: Training options.
        search: Search options.
        fine_tuning: Trained model that the run starts from, its new subwords and its frozen parts.
        run: Run folder and quantization modes.
        machine: Facts about the machine; `prepare_run` sets it.
    """

    data: DataOptions
    run: RunOptions
    model: ModelOptions = ModelOptions()
    training: Training = Training()
    search: Search = Search()
    fine_tuning: FineTuning = FineTuning()
    machine: Machine = Machine()

    @classmethod
    def of(cls, **options: Any) -> Self:
        default = cls()  # type: ignore[call-arg]
        given = dict(options)
        for group in options.values():
            if dataclasses.is_dataclass(group):
                defaults = {field.name: field.default for field in dataclasses.fields(group)}
                values = flatten(cast(Options, group))
                given |= {name: v for name, v in values.items() if v != defaults.get(name)}
        if init_from := given.get("init_from"):
            base = BaseModel.open(init_from)
            options |= base_options(base, given, flatten(default), cls.recipe())
        return replace(default, **options)

    @classmethod
    def recipe(cls) -> str:
        """Return the name of the recipe: that of its file."""
        return Path(inspect.getfile(cls)).stem

    def __post_init__(self):
        try:
            self.model.check_lengths(*self.data.max_lengths)
        except ValueError as error:
            if not hasattr(self.data, "max_length"):
                raise
            # One option of the recipe sets both lengths.
            message = re.sub("max_(source|target)_length", "max_length", str(error))
            raise ValueError(message) from None

    @functools.cached_property
    def base(self) -> BaseModel | None:
        """The trained model that the run starts from; None if it starts from random weights."""
        return BaseModel.open(path) if (path := self.fine_tuning.init_from) else None

    @property
    def peak_learning_rate(self) -> float:
        """Default peak learning rate."""
        factor = FINE_TUNING_RATE if self.fine_tuning.init_from else 1.0
        return factor * self.model.peak_learning_rate

    @property
    def batch_options(self) -> dict:
        """Options of `Batches` that training and held-out data share, by name."""
        return {
            "max_length": self.data.max_lengths,
            "batch_tokens": self.training.batch_tokens,
            "few_shapes": self.machine.few_shapes,
            "rows_multiple": self.machine.rows_multiple,
        }

    @property
    def inputs(self) -> tuple[str, ...]:
        """All files that the run reads."""
        return (*self.data.files, *(self.base.files if self.base else ()))
