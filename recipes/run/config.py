"""The options of a run, in groups that all recipes share."""

import dataclasses
import re
from typing import Any, Self

from seq2lite.export.quantization.modes import QUANTIZATIONS

from ..data.options import DataOptions
from ..distributed.machine import Machine
from ..evaluation.decoding import Search
from ..options import check_choices, option, replace
from ..training.options import Training
from .model import ModelOptions


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
class RecipeConfig:
    """All options of a recipe: groups, whose fields are flags, and the machine.

    A recipe subclasses it: it sets the groups `data` and `run`, changes the defaults of others,
    and adds options of its own.

    Attributes:
        data: Data files, vocabulary and lengths.
        model: Preset and architecture.
        training: Training options.
        search: Search options.
        run: Run folder and quantization modes.
        machine: Facts about the machine; `prepare_run` sets it.
    """

    data: DataOptions
    run: RunOptions
    model: ModelOptions = ModelOptions()
    training: Training = Training()
    search: Search = Search()
    machine: Machine = Machine()

    @classmethod
    def of(cls, **options: Any) -> Self:
        """Return a Config with other than the default options.

        Args:
            **options: Options by name, of any group; or a group, by its name.

        Example:
            >>> from seq2lite.recipes import translate
            >>> config = translate.Config.of(preset="transformer_tiny", epochs=2)
            >>> config.model.preset, config.training.epochs
            ('transformer_tiny', 2)
        """
        return replace(cls(), **options)  # type: ignore[call-arg]

    def __post_init__(self):
        try:
            self.model.check_lengths(*self.data.max_lengths)
        except ValueError as error:
            if not hasattr(self.data, "max_length"):
                raise
            # One option of the recipe sets both lengths.
            message = re.sub("max_(source|target)_length", "max_length", str(error))
            raise ValueError(message) from None

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
        return self.data.files
