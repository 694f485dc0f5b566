"""Scores of a model and its bundles."""

from collections.abc import Callable, Sequence

from seq2lite.export.bundle import Report
from seq2lite.zoo import Seq2Seq

from ..data.splits import spread
from .bundles import bundle_decoder
from .decoding import Score

NUM_EXAMPLES = 12  # of each test, in the report


def evaluate(
    model: Seq2Seq,
    reports: dict[str, Report],
    score: Score,
    tests: dict[str, Sequence[tuple]],
    baselines: dict[str, Callable[[list[str]], list[str]]] | None = None,
) -> tuple[dict, dict]:
    """Scores a model and its bundles on test data.

    Args:
        model: The trained model.
        reports: The `export.Report` of each bundle, by quantization mode.
        score: The `Score`.
        tests: (source, reference) pairs, by name of the test.
        baselines: Functions from sources to targets to compare with, by name. Default: none.

    Returns:
        `scores` and `examples`. `scores[test][name]` is a dict of numbers; the name is "Keras", a
        quantization mode or a baseline. `examples[test]` is a list of (source, reference, dict of
        outputs by name).
    """
    decoders = dict(baselines or {})
    decoders["Keras"] = lambda sources: score.decode(model, sources)
    for quantization, report in reports.items():
        decoders[quantization] = bundle_decoder(report.path, score.decode.search)
    scores, examples = {}, {}
    for test, pairs in tests.items():
        sources, references = zip(*pairs, strict=True)
        outputs = {name: decode(list(sources)) for name, decode in decoders.items()}
        scores[test] = {n: score.measure(texts, references) for n, texts in outputs.items()}
        examples[test] = [
            (source, reference, {name: texts[i] for name, texts in outputs.items()})
            for i, (source, reference) in spread(list(enumerate(pairs)), NUM_EXAMPLES)
        ]
    return scores, examples
