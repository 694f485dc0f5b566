"""A device tests itself: its answers against those that were stored with the file."""

import json

import numpy as np

from .container import MODEL_FILE, BundleError, read_container
from .interpreter import open_interpreter
from .model_file import steps_of
from .runner import open_container

# Other processors sum in another order, and int8 rounds activations anew at each product.
LOGIT_TOLERANCE = 0.05  # of the greatest logit


def check_golden(bundle):
    """Runs a bundle's golden sentences and compares ids, tokens and first logits.

    Args:
        bundle: The bundle: a folder or a zip.

    Returns:
        One line that says what was compared.

    Raises:
        BundleError: The bundle cannot be used, or an answer differs.
    """
    container = read_container(bundle)
    content = container.part("golden.json")
    runner = open_container(container)
    name = container.path / MODEL_FILE
    interpreter = open_interpreter(container.part(MODEL_FILE), 1, name)
    try:
        return _compare(runner, interpreter, json.loads(content))
    except BundleError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        path = container.path / "golden.json"
        raise BundleError(f"{path} cannot be read: {error!r}") from error


def _compare(runner, interpreter, golden):
    encode, decode_step, _ = steps_of(interpreter, runner.tokenizer.pad_id)
    start = np.array([runner.description["start_id"]], np.int32)
    sentences, worst, differing = golden["sentences"], 0.0, []
    for sentence in sentences:
        ids = runner.source_ids([sentence["text"]])[0]
        if ids != sentence["source"]:
            raise BundleError(
                f"ids of {sentence['text']!r} must be {sentence['source']}. Received: {ids}"
            )
        source = np.array([ids], np.int32)
        tokens = runner.generate_ids(source, golden["max_length"])[0][0].tolist()
        if tokens != sentence["tokens"]:
            differing.append(
                f"tokens for {sentence['text']!r} must be {sentence['tokens']}. Received: {tokens}"
            )
        logits = decode_step(token=start, **encode(source=source))["logits"][0]
        expected = np.array(list(sentence["first_logits"].values()))
        found = logits[[int(i) for i in sentence["first_logits"]]]
        error = float(np.abs(found - expected).max() / np.abs(expected).max())
        if not error <= LOGIT_TOLERANCE:
            raise BundleError(
                f"first logits for {sentence['text']!r} must be within {LOGIT_TOLERANCE} of those "
                f"stored. Received: a difference of {error:.3g}"
            )
        worst = max(worst, error)
    # Quantized, one rounding to the other side changes all tokens that follow it.
    allowed = 0 if runner.description.get("quantization") == "float32" else len(sentences) // 2
    if len(differing) > allowed:
        raise BundleError(differing[0])
    return (
        f"{len(sentences)} golden sentences: ids equal, tokens of "
        f"{len(sentences) - len(differing)} equal, first logits within {worst:.2g}"
    )
