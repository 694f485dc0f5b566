"""The bundles that a run exports."""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from seq2lite.export import load, to_bundle
from seq2lite.export.system.atomic import write_atomically

from ..data.splits import spread
from ..training.fit import save_tokenizer
from ..training.result import RunResult
from .decoding import Search

NUM_CALIBRATION = 256  # training sources that 4-bit weights and integer files are calibrated on


def export_model(result: RunResult, config, languages: Sequence[str] | None = None) -> RunResult:
    """Save `model.keras` and `tokenizer.model`, and export a bundle for each quantization mode.

    Args:
        result: The `RunResult` of the training.
        config: The recipe's Config.
        languages: Language tags of source and target. Default: none.

    Returns:
        The `RunResult` with the `export.Report` of each bundle.
    """
    data, modes = result.data, config.run.quantizations
    write_atomically(result.folder / "model.keras", lambda partial: result.model.save(partial))
    save_tokenizer(data.tokenizer, result.folder)
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
        languages=languages,
        measure=config.run.measure,
        **dataclasses.asdict(config.search),
    )
    return dataclasses.replace(result, reports=reports)


def bundle_decoder(path: str | Path, search: Search) -> Callable[[Sequence[str]], list[str]]:
    """Open a bundle and return a function that decodes source texts with it.

    Args:
        path: The bundle.
        search: The `Search` options that the bundle was exported with. A bundle without beam
            search decodes greedily.

    Example:
        >>> from seq2lite.recipes.evaluation.bundles import bundle_decoder
        >>> from seq2lite.recipes.evaluation.decoding import Search
        >>> decode = bundle_decoder(bundle, Search(num_beams=3))
        >>> len(decode(["Open File", "Close"]))
        2
    """
    runner = load(path)

    def decode(sources):
        with warnings.catch_warnings():
            # The number of sources that are cut has been printed before.
            warnings.simplefilter("ignore")
            if search.num_beams == 1 or runner.beam_ids is None:
                return runner.generate(sources)
            return [targets[0][0] for targets in runner.generate_beam(sources)]

    return decode
