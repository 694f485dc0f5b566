"""The bundles that a run exports."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from seq2lite.export import Report, to_bundle
from seq2lite.export.system.atomic import write_atomically, write_text

from ..data.splits import spread
from ..data.tokenizers import text_obstacle
from ..training.artifacts import EXPORT, MODEL, require_exported
from ..training.result import RunResult

if TYPE_CHECKING:  # a real import would be a circle
    from ..run.config import RecipeConfig

NUM_CALIBRATION = 256  # training sources that 4-bit weights and integer files are calibrated on


def export_model(result: RunResult, config: "RecipeConfig") -> RunResult:
    """Save `model.keras` with its tokenizer, and export a bundle for each quantization mode.

    Args:
        result: The `RunResult` of the training.
        config: The recipe's Config.

    Returns:
        The `RunResult` with the `export.Report` of each bundle.
    """
    data, modes = result.data, config.run.quantizations
    max_source_length, max_target_length = config.data.max_lengths
    result.model.attach_tokenizer(
        data.tokenizer,
        max_source_length=max_source_length,
        max_target_length=max_target_length,
        **dataclasses.asdict(config.search),
    )
    arguments: dict[str, Any] = {
        "languages": config.run.languages or config.data.default_languages or None,
        "text": not text_obstacle(data.tokenizer),
        "calibration": [source for source, _ in spread(data.train.pairs, NUM_CALIBRATION)],
        "held_out": list(data.valid.pairs),
    }
    write_atomically(result.folder / MODEL, lambda partial: result.model.save(partial))
    write_text(result.folder / EXPORT, json.dumps(arguments, ensure_ascii=False, indent=0))
    if not modes:
        return result
    reports = to_bundle(
        result.model,
        result.folder,
        quantization=modes,
        measure=config.run.measure,
        **arguments,
    )
    return dataclasses.replace(result, reports=reports)


def export_run(
    folder: str | os.PathLike,
    quantizations: Sequence[str],
    output: str | os.PathLike | None = None,
    **options: Any,
) -> dict[str, Report]:
    """Export the model of a run folder again, with the held-out and calibration text of the run.

    Args:
        folder: Folder of a run that is finished, or has been exported with `--finish`.
        quantizations: Quantization modes, one bundle each.
        output: Folder of the bundles, or a .zip for a single mode. Default: the run folder.
        options: Other arguments of `to_bundle`. Default: those of the run.

    Returns:
        The `export.Report` of each bundle, by quantization mode.

    Raises:
        ValueError: The folder does not contain an exported run, or an argument is invalid.
        ConversionError: The model cannot be converted.
        ParityError: The outputs of a file differ from Keras by more than the tolerance.
    """
    folder = Path(folder)
    require_exported(folder)
    model = keras.saving.load_model(folder / MODEL, compile=False)
    arguments = json.loads((folder / EXPORT).read_text("utf-8"))
    output = folder if output is None else Path(output)
    is_zip = output.suffix == ".zip" and len(quantizations) == 1
    reports = to_bundle(
        model,
        output,
        quantization=quantizations[0] if is_zip else tuple(quantizations),
        **{**arguments, **options},
    )
    return {quantizations[0]: reports} if is_zip else reports
