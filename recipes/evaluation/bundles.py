"""The bundles that a run exports."""

import dataclasses
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from seq2lite.export import load, to_bundle
from seq2lite.export.bundle import Report
from seq2lite.zoo import Seq2Seq

from ..data.splits import spread
from .decoding import Search

NUM_CALIBRATION = 256  # training sources that 4-bit weights and integer files are calibrated on


def export_bundles(
    config, folder: Path, model: Seq2Seq, data, languages: Sequence[str] | None = None
) -> dict[str, Report]:
    """Exports a bundle for each quantization mode of a run.

    Args:
        config: The recipe's Config, with `quantizations`, `search` and `lengths`.
        folder: The run folder.
        model: The trained model.
        data: The recipe's Data: its tokenizer, and its training and held-out `Batches`.
        languages: Language tags of source and target. Default: none.

    Returns:
        The `export.Report` of each bundle, by quantization mode; empty if none is requested.
    """
    if not config.quantizations:
        return {}
    max_source_length, max_target_length = config.lengths
    return to_bundle(
        model,
        folder,
        data.tokenizer,
        data.valid.pairs,
        quantization=config.quantizations,
        calibration=[source for source, _ in spread(data.train.pairs, NUM_CALIBRATION)],
        max_source_length=max_source_length,
        max_target_length=max_target_length,
        languages=languages,
        **dataclasses.asdict(config.search),
    )


def bundle_decoder(path: str | os.PathLike, search: Search) -> Callable[[Sequence[str]], list[str]]:
    """Opens a bundle and returns a function that decodes source texts with it.

    Args:
        path: The bundle.
        search: The `Search` options that the bundle was exported with. A bundle without beam
            search decodes greedily.
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
