"""Choice between 4 and 8 bits for each weight, within a maximum loss.

The loss of each weight alone is measured. As few weights as possible stay at 8 bits: those with the
largest loss per byte.
"""

import numpy as np

from ..runtime.interpreter import open_interpreter
from ..system.isolation import ConversionError
from ..tflite_file import flatbuffer
from .weights import store_weights, weights_of


def choose_formats(content, calibration, moments, max_divergence):
    """Choose `"int4"` or `"int8"` for each weight of a float32 file.

    Args:
        content: The file's bytes.
        calibration: A `Calibration`.
        moments: Result of `second_moments`.
        max_divergence: Maximum mean Kullback-Leibler divergence per token, in nats, of the next-token
            distribution of the file from that of the float32 file.

    Returns:
        Formats by buffer, for `store_weights`.

    Raises:
        ConversionError: The divergence is larger even with all weights at 8 bits.
    """
    weights = weights_of(flatbuffer.read(content))
    expected = log_probabilities(content, calibration)
    rounded = {}

    def divergence(four_bit):
        formats = {w.buffer: "int4" if w in four_bit else "int8" for w in weights}
        file = store_weights(content, formats, moments, rounded)
        found = log_probabilities(file, calibration)
        return float((np.exp(expected) * (expected - found)).sum(axis=-1).mean()), formats

    lowest, formats = divergence([])
    if not lowest <= max_divergence:
        raise ConversionError(
            f"`max_divergence` must be at least the loss of 8-bit weights, {lowest:.2g}. "
            f"Received: {max_divergence:.2g}"
        )
    by_loss = sorted(weights, key=lambda w: (divergence([w])[0] - lowest) / w.size)
    # Bisection: the maximum number of weights, in order of their loss, within the limit.
    enough, too_many = 0, len(weights) + 1
    while too_many - enough > 1:
        middle = (enough + too_many) // 2
        loss, tried = divergence(by_loss[:middle])
        if loss <= max_divergence:
            enough, formats = middle, tried
        else:
            too_many = middle
    return formats


def log_probabilities(content, calibration):
    """Return the log-probabilities `(tokens, vocabulary)` of all next tokens, by teacher forcing."""
    interpreter = open_interpreter(content, 1, "the file")
    encode = interpreter.get_signature_runner("encode")
    decode_step = interpreter.get_signature_runner("decode_step")
    found = []
    for batch in calibration.batches():
        state = encode(source=batch.source)
        for step, token in enumerate(batch.teacher.T):
            state = decode_step(token=token, **state)
            logits = state.pop("logits")[step < batch.target_lengths]
            state.pop("attention", None)
            logits -= logits.max(axis=-1, keepdims=True)
            found.append(logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True)))
    return np.concatenate(found)
