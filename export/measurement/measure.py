"""Everything about a converted file that is measured by running it, each in a process of its own."""

import json
from dataclasses import dataclass

import numpy as np

from ..system.isolation import run_in_subprocess

NUM_TIMED = 24  # sentences of the held-out text


MEMORY_LENGTH = 32  # tokens of the run whose memory is measured


TIMEOUT = 600  # seconds


@dataclass(frozen=True)
class Measurements:
    """Speed, memory and profile, on the machine that exported the file, one thread.

    Attributes:
        tokens_per_second: Of the file, batch 1, for as many tokens as Keras makes of held-out text.
        keras_tokens_per_second: Of the same graph in TensorFlow.
        grid: For fixed numbers of tokens, a list of dict of `batch`, `length`, `seconds`,
            `tokens_per_second` and, of the same graph in TensorFlow, `keras_tokens_per_second`.
        source_length: Tokens of the source that `grid`, `memory` and `profile` are measured with.
        memory: What `memory.measure_memory` gives of a file that is `"mapped"`, and `"read"`.
        profile: What `profile.profile` gives.
    """

    tokens_per_second: float
    keras_tokens_per_second: float
    grid: list
    source_length: int
    memory: dict
    profile: dict


def measure_speed(model, reference):
    """What `.speed` gives of a TFLite file or a SavedModel; it writes beside it."""
    median = _median(reference)
    # Every so-manieth sentence: they are sorted by length.
    rows = slice(None, None, max(1, len(reference.source) // NUM_TIMED))
    inputs = model.parent / "timed.npz"
    np.savez(
        inputs,
        source=reference.source[rows],
        lengths=reference.lengths[rows],
        # The end is generated too.
        steps=np.minimum(reference.token_lengths[rows] + 1, reference.max_length),
        one=median,
        **reference.ids,
    )
    return _run("measurement.speed", model, inputs)


def _median(reference):
    """Ids `(1, source_length)` of the source of the median length."""
    median = len(reference.lengths) // 2
    return reference.source[median : median + 1, : int(reference.lengths[median])]


def measure(file, keras_speed, reference):
    """Measures a file.

    Args:
        file: The TFLite file, in a folder where more may be written.
        keras_speed: `measure_speed` of the SavedModel that it was converted from.
        reference: The `KerasReference` of the model.

    Raises:
        ConversionError: The file cannot be run.
    """
    source = _median(reference)
    inputs = file.parent / "one.npz"
    np.savez(inputs, source=source, max_length=MEMORY_LENGTH, **reference.ids)
    speed = measure_speed(file, reference)
    return Measurements(
        tokens_per_second=speed["tokens_per_second"],
        keras_tokens_per_second=keras_speed["tokens_per_second"],
        grid=[
            {**ours, "keras_tokens_per_second": theirs["tokens_per_second"]}
            for ours, theirs in zip(speed["grid"], keras_speed["grid"], strict=True)
        ],
        source_length=source.shape[1],
        memory={how: _run("measurement.memory", file, inputs, how) for how in ("mapped", "read")},
        profile=_run("measurement.profile", file, inputs),
    )


def _run(module, model, inputs, *arguments):
    output = model.parent / f"{module}.json"
    run_in_subprocess(module, model, inputs, output, *arguments, timeout=TIMEOUT)
    return json.loads(output.read_text())
