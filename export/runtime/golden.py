"""Self-test of a device: compares its outputs with those stored in golden.json."""

import json

import numpy as np

from .checks import quote
from .container import BundleError, read_container
from .engine import best_search
from .load import open_container
from .text import source_ids

# Processors differ in summation order, and int8 rounds the activations of each product.
LOGIT_TOLERANCE = 0.05  # relative to the largest logit


def check_golden(bundle) -> str:
    """Run the golden sentences of a bundle and compare ids, tokens and first logits.

    Args:
        bundle: The bundle: a folder or a zip.

    Returns:
        One line that summarizes the comparison.

    Raises:
        BundleError: The bundle is corrupted, or an output differs.
    """
    container = read_container(bundle)
    content = container.part("golden.json")
    runner = open_container(container)
    try:
        return _compare(runner, json.loads(content))
    except BundleError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        path = container.path / "golden.json"
        raise BundleError(f"{path} cannot be read: {error!r}") from error


def _compare(runner, golden):
    description, engine = runner.description, runner.engine
    search = best_search(engine, runner.search["num_beams"])
    start = np.array([description["start_id"]], np.int32)
    sentences, worst, differing = golden["sentences"], 0.0, []
    if not isinstance(golden["is_exact"], bool):
        raise TypeError(f"is_exact must be true or false. Received: {golden['is_exact']!r}")
    for sentence in sentences:
        ids = source_ids(
            runner.tokenizers.source, [sentence["text"]], description["max_source_length"]
        )[0]
        if ids != sentence["source"]:
            raise BundleError(
                f"ids of {quote(sentence['text'])} must be {sentence['source']}. Received: {ids}"
            )
        source = np.array([ids], np.int32)
        tokens, lengths = search(source, golden["max_length"])
        tokens = tokens[0, : lengths[0]].tolist()
        if tokens != sentence["tokens"]:
            differing.append(
                f"tokens for {quote(sentence['text'])} must be {sentence['tokens']}. Received: {tokens}"
            )
        logits = engine.decode_step(token=start, **engine.encode(source=source))["logits"][0]
        expected = np.array(list(sentence["first_logits"].values()))
        found = logits[[int(i) for i in sentence["first_logits"]]]
        error = float(np.abs(found - expected).max() / np.abs(expected).max())
        if not error <= LOGIT_TOLERANCE:
            raise BundleError(
                f"first logits for {quote(sentence['text'])} must differ by at most {LOGIT_TOLERANCE} from "
                f"those stored. Received: a difference of {error:.3g}"
            )
        worst = max(worst, error)
    # In a quantized file, one different rounding changes all tokens that follow.
    allowed = 0 if golden["is_exact"] else len(sentences) // 2
    if len(differing) > allowed:
        raise BundleError(differing[0])
    return (
        f"{len(sentences)} golden sentences: ids equal, tokens of "
        f"{len(sentences) - len(differing)} equal, first logits within {worst:.2g}"
    )
