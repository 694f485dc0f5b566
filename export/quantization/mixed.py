"""Subprocess: which weights stay at 8 bits so that a 4-bit file loses no more than is allowed.

`python -m seq2lite.export.quantization.mixed FILE IN.npz MOMENTS.npz MAX_DIVERGENCE OUT.json`. Each weight's loss
is measured by itself; those that lose most for their bytes stay at 8 bits, as few as will do.
"""

import json
from pathlib import Path

import numpy as np

from ..runtime.container import BundleError
from ..runtime.interpreter import open_interpreter
from ..system.isolation import ConversionError, conversion_errors, run_main
from ..tflite_file import flatbuffer
from .calibration import Calibration
from .weights import store_weights, weights_of


def choose_formats(content, calibration, moments, max_divergence):
    """Chooses `"int4"` or `"int8"` for each weight of a float32 file.

    Args:
        content: The file's bytes.
        calibration: A `Calibration`.
        moments: What `second_moments` gives.
        max_divergence: Most that the file may lose: the mean over tokens of the Kullback-Leibler
            divergence, in nats, of its next-token distribution from the float32 file's.

    Returns:
        Formats by buffer, for `store_weights`, and the divergence that was measured of them.

    Raises:
        ConversionError: With all weights at 8 bits the divergence is still greater.
    """
    weights = weights_of(flatbuffer.read(content))
    expected = log_probabilities(content, calibration)
    rounded = {}

    def divergence(four_bit):
        formats = {w.buffer: "int4" if w in four_bit else "int8" for w in weights}
        file = store_weights(content, formats, moments, rounded)
        found = log_probabilities(file, calibration)
        return float((np.exp(expected) * (expected - found)).sum(axis=-1).mean()), formats

    least, formats = divergence([])
    if not least <= max_divergence:
        raise ConversionError(
            f"`max_divergence` must be at least what 8-bit weights lose, {least:.2g}. "
            f"Received: {max_divergence:.2g}"
        )
    by_loss = sorted(weights, key=lambda w: (divergence([w])[0] - least) / w.size)
    # The most weights, those that lose least first, that are within what is allowed.
    most, too_many = 0, len(weights) + 1
    found = least, formats
    while too_many - most > 1:
        middle = (most + too_many) // 2
        tried = divergence(by_loss[:middle])
        if tried[0] <= max_divergence:
            most, found = middle, tried
        else:
            too_many = middle
    return found[1], found[0]


def log_probabilities(content, calibration):
    """A file's log-probabilities of all next tokens, by teacher forcing: `(tokens, vocabulary)`."""
    interpreter = open_interpreter(content, 1, "the file")
    encode = interpreter.get_signature_runner("encode")
    decode_step = interpreter.get_signature_runner("decode_step")
    found = []
    for batch in calibration.batches():
        state = encode(source=batch.source)
        for step, token in enumerate(batch.teacher.T):
            state = decode_step(token=token, **state)
            logits = state.pop("logits")[step < batch.target_lengths]
            logits -= logits.max(axis=-1, keepdims=True)
            found.append(logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True)))
    return np.concatenate(found)


def main(file, calibration, moments, max_divergence, output):
    """Run `choose_formats` on a file and saved arguments; write its result to `output`."""
    with conversion_errors(BundleError, OSError):
        moments = {int(buffer): moment for buffer, moment in np.load(moments).items()}
        formats, divergence = choose_formats(
            Path(file).read_bytes(), Calibration.load(calibration), moments, float(max_divergence)
        )
        Path(output).write_text(json.dumps({"formats": formats, "divergence": divergence}))


if __name__ == "__main__":
    run_main(main)
