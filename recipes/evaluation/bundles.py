"""The bundles that a run exports."""

import dataclasses
from typing import TYPE_CHECKING

from seq2lite.export import to_bundle
from seq2lite.export.system.atomic import write_atomically

from ..data.splits import spread
from ..training.artifacts import MODEL
from ..training.result import RunResult

if TYPE_CHECKING:  # a real import would be a circle
    from ..run.config import RecipeConfig

NUM_CALIBRATION = 256  # training sources that 4-bit weights and integer files are calibrated on


def export_model(result: RunResult, config: "RecipeConfig") -> RunResult:
    """Save `model.keras`, and export a bundle for each quantization mode.

    Args:
        result: The `RunResult` of the training.
        config: The recipe's Config.

    Returns:
        The `RunResult` with the `export.Report` of each bundle.
    """
    data, modes = result.data, config.run.quantizations
    write_atomically(result.folder / MODEL, lambda partial: result.model.save(partial))
    if not modes:
        return result
    max_source_length, max_target_length = config.data.max_lengths
    reports = to_bundle(
        result.model,
        result.folder,
        data.tokenizer,
        data.valid.pairs,
        quantization=modes,
        calibration=[source for source, _ in spread(data.train.pairs, NUM_CALIBRATION)],
        max_source_length=max_source_length,
        max_target_length=max_target_length,
        languages=config.run.languages or config.data.default_languages or None,
        measure=config.run.measure,
        **dataclasses.asdict(config.search),
    )
    return dataclasses.replace(result, reports=reports)
