"""Scores of a model and its bundles."""

from ..data.splits import spread
from .bundles import bundle_decoder

NUM_EXAMPLES = 12


def evaluate(model, reports, score, tests, baselines=None):
    """Scores a model and its bundles on held-out text.

    Args:
        model: The trained model.
        reports: dict, quantization to the `export.Report` of its bundle.
        score: A `Score`.
        tests: dict, name to list of (source, reference).
        baselines: dict, name to a function from a list of sources to a list of targets.

    Returns:
        `scores`: dict, name of a test to a dict, "Keras", a quantization or a baseline to a dict of
        numbers. `examples`: dict, name of a test to a list of (source, reference, dict of targets).
    """
    candidates = dict(baselines or {})
    candidates["Keras"] = lambda sources: score.decode(model, sources)
    for quantization, report in reports.items():
        candidates[quantization] = bundle_decoder(report.path, score.decode.search)
    scores, examples = {}, {}
    for test, pairs in tests.items():
        sources, references = zip(*pairs, strict=True)
        outputs = {name: decode(list(sources)) for name, decode in candidates.items()}
        scores[test] = {n: score.measure(texts, references) for n, texts in outputs.items()}
        examples[test] = [
            (source, reference, {name: texts[i] for name, texts in outputs.items()})
            for i, (source, reference) in spread(list(enumerate(pairs)), NUM_EXAMPLES)
        ]
    return scores, examples
