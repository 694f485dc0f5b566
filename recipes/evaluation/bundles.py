"""The bundles that a run ends with, and what they make of text."""

import dataclasses
import warnings

from seq2lite.export import load, to_bundle

from ..data.splits import spread

NUM_CALIBRATION = 256  # sentences of the training that 4-bit and integer files are calibrated on


def export_bundles(config, folder, model, data, languages=None):
    """A bundle in `folder` for each of the run's quantizations, with the run's search in it.

    Args:
        config: The recipe's Config, with `quantizations`, `search` and `lengths`.
        folder: The run's folder.
        model: The trained model.
        data: The recipe's Data: its tokenizer, the `Batches` that it was trained on, which some
            files are calibrated on, and held-out ones.
        languages: Tags of source and target.

    Returns:
        dict, quantization to `export.Report`; empty if no bundle is asked for.
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


def bundle_decoder(path, search):
    """What a bundle makes of many sources, by the search of the file or of the host."""
    runner = load(path)

    def decode(sources):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of long sources, which were counted before
            if search.num_beams == 1 or runner.beam_ids is None:
                return runner.generate(sources)
            return [targets[0][0] for targets in runner.generate_beam(sources)]

    return decode
