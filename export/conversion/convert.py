"""Conversion of a SavedModel in a subprocess."""

from pathlib import Path

from ..system.isolation import run_isolated
from ..tflite_file.targets import check_target

TIMEOUT = 900  # seconds; a model of 10 M parameters takes under one minute


def convert_saved(saved_model):
    """Convert a SavedModel in a subprocess and check its ops; return the float32 file's bytes."""
    output = Path(saved_model).with_suffix(".tflite")
    run_isolated("conversion.converter", saved_model, output, timeout=TIMEOUT)
    content = output.read_bytes()
    check_target(content, "cpu")
    return content
