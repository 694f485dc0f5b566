"""Scores of a model and its bundles."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from seq2lite.export import load

from ..data.splits import spread
from ..training.result import RunResult
from .decoding import Score

NUM_EXAMPLES = 12  # of each test, in the report


def evaluate(
    result: RunResult,
    score: Score,
    baselines: Mapping[str, Callable[[list[str]], list[str]]] | None = None,
) -> RunResult:
    """Score the model and the bundles of a run on its test data.

    Args:
        result: The `RunResult`, with bundles or without.
        score: The `Score`.
        baselines: Functions from sources to targets to compare with, by name. Default: none.

    Returns:
        The `RunResult` with scores and examples.
    """
    decoders = dict(baselines or {})
    decoders["Keras"] = lambda sources: score.decode(result.model, sources)
    for quantization, report in result.reports.items():
        decoders[quantization] = bundle_decoder(report.path)
    scores, examples = {}, {}
    for test, pairs in result.data.tests.items():
        sources, references = zip(*pairs, strict=True)
        outputs = {name: decode(list(sources)) for name, decode in decoders.items()}
        scores[test] = {n: score.measure(texts, references) for n, texts in outputs.items()}
        examples[test] = [
            (source, reference, {name: texts[i] for name, texts in outputs.items()})
            for i, (source, reference) in spread(list(enumerate(pairs)), NUM_EXAMPLES)
        ]
    return dataclasses.replace(result, scores=scores, examples=examples)


def bundle_decoder(
    path: str | Path, num_beams: int | None = None
) -> Callable[[Sequence[str]], list[str]]:
    """Open a bundle and return a function that decodes source texts.

    Args:
        path: The bundle.
        num_beams: Beam size, as in `Runner.generate`. Default: the bundle's search.

    Example:
        >>> from seq2lite.recipes.evaluation.evaluate import bundle_decoder
        >>> decode = bundle_decoder(bundle)
        >>> len(decode(["Open File", "Close"]))
        2
    """
    runner = load(path)

    def decode(sources):
        with warnings.catch_warnings():
            # The number of sources that are cut has been printed before.
            warnings.simplefilter("ignore")
            return runner.generate(sources, num_beams=num_beams)

    return decode
