"""Measurement of an exported file in processes of its own."""

from dataclasses import dataclass

import numpy as np

from ..system.isolation import run_in_subprocess
from .memory import measure_memory
from .profile import profile
from .speed import speed

NUM_TIMED = 24  # sentences of the held-out text
MEMORY_LENGTH = 32  # tokens that are generated while memory is measured
TIMEOUT = 600  # seconds


@dataclass(frozen=True)
class Measurements:
    """Speed, memory and profile on one thread of the machine that exported the file.

    Attributes:
        tokens_per_second: float, speed of the file on held-out text, batch 1. It generates as many
            tokens as Keras does.
        keras_tokens_per_second: float, speed of the same graph in TensorFlow.
        grid: List of dicts for fixed numbers of tokens: `batch`, `length`, `seconds`,
            `tokens_per_second` and, for TensorFlow, `keras_tokens_per_second`.
        source_length: int, number of source tokens for `grid`, `memory` and `profile`.
        memory: dict of `"mapped"` and `"read"`, how the file is opened, to the result of
            `memory.measure_memory`.
        profile: The result of `profile.profile`.
    """

    tokens_per_second: float
    keras_tokens_per_second: float
    grid: list
    source_length: int
    memory: dict
    profile: dict


def measure_speed(model, reference):
    """Measure the speed of greedy search.

    Args:
        model: Path of a TFLite file or a SavedModel.
        reference: The `KerasReference` of the model, for sources and numbers of tokens.

    Returns:
        dict of `tokens_per_second` and `grid`. See `speed`.

    Raises:
        ConversionError: The model cannot be run.
    """
    # Evenly spaced sentences: they are sorted by length.
    rows = slice(None, None, max(1, len(reference.source) // NUM_TIMED))
    return run_in_subprocess(
        speed,
        model,
        _median(reference),
        source=reference.source[rows],
        lengths=reference.lengths[rows],
        # The end is generated too.
        steps=np.minimum(reference.token_lengths[rows] + 1, reference.max_length),
        ids=_ids(reference),
        timeout=TIMEOUT,
    )


def measure_file(file, keras_speed, reference):
    """Measure speed, memory and profile of a file.

    Args:
        file: Path of the TFLite file.
        keras_speed: The result of `measure_speed` for the SavedModel.
        reference: The `KerasReference` of the model.

    Returns:
        `Measurements`.

    Raises:
        ConversionError: The file cannot be run.
    """
    source, ids = _median(reference), _ids(reference)
    file_speed = measure_speed(file, reference)
    return Measurements(
        tokens_per_second=file_speed["tokens_per_second"],
        keras_tokens_per_second=keras_speed["tokens_per_second"],
        grid=[
            {**ours, "keras_tokens_per_second": keras["tokens_per_second"]}
            for ours, keras in zip(file_speed["grid"], keras_speed["grid"], strict=True)
        ],
        source_length=source.shape[1],
        memory={
            how: run_in_subprocess(
                measure_memory, file, source, MEMORY_LENGTH, how, ids, timeout=TIMEOUT
            )
            for how in ("mapped", "read")
        },
        profile=run_in_subprocess(profile, file.read_bytes(), source, ids, timeout=TIMEOUT),
    )


def _ids(reference):
    """The special ids, and `padding`, the value that pads sources."""
    return {**reference.ids, "padding": reference.padding}


def _median(reference):
    """The source with the median length: `(1, source_length)`, or the same with features."""
    middle = len(reference.lengths) // 2
    return reference.source[middle : middle + 1, : int(reference.lengths[middle])]
