"""Conversion of a SavedModel in a subprocess."""

from pathlib import Path

from ..system.isolation import run_isolated
from ..tflite_file.targets import prepare

TIMEOUT = 900  # seconds; a model of 10 M parameters takes under one minute


def convert_saved(saved_model, target="cpu"):
    """Convert a SavedModel in a subprocess.

    Args:
        saved_model: Path of the SavedModel. The file is written beside it.
        target: str, default `"cpu"`, the device target whose ops and types the file must keep to.

    Returns:
        bytes of the float32 file.

    Raises:
        ConversionError: The conversion failed, or the target lacks an op of the file.
    """
    output = Path(saved_model).with_suffix(".tflite")
    run_isolated("conversion.converter", saved_model, output, timeout=TIMEOUT)
    return prepare(output.read_bytes(), target)
