"""Conversion of a Keras model's signatures to a TFLite file."""

import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from ..system.atomic import scratch_folder
from ..system.isolation import ConversionError, run_isolated
from ..tflite_file.rewrites import arranged
from ..tflite_file.targets import prepare
from .saved_model import save

TIMEOUT = 900  # seconds; a model of 10 M parameters takes under one minute


def convert_signatures(module, target="cpu"):
    """Convert a module with `functions`, its signatures; as `convert_saved`."""
    with scratch_folder() as folder:
        save(module, folder / "saved_model")
        return convert_saved(folder / "saved_model", target)


def convert_saved(saved_model, target="cpu"):
    """Convert a SavedModel in a subprocess.

    Args:
        saved_model: Path of the SavedModel.
        target: str, default `"cpu"`, the device target whose ops and types the file must keep to.

    Returns:
        bytes of the float32 file.

    Raises:
        ConversionError: The conversion failed, or the target lacks an op of the file.
    """
    content = run_isolated(convert, saved_model, timeout=TIMEOUT)
    return prepare(arranged(content), target)


def convert(saved_model):
    """Convert the signatures of a SavedModel to the bytes of one float32 TFLite file.

    Raises:
        ConversionError: An op is not built in; the message names it and the layer that uses it.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        return converter.convert()
    except ConverterError as error:
        ops = {
            f"{entry.operator.name} ({entry.location.call[0].name.partition('@')[0]})": None
            for entry in error.errors
            if entry.operator.name and entry.location.call
        }
        if not ops:
            raise
        raise ConversionError(
            f"The model must use ops that are built into TFLite only. Received: {', '.join(ops)}"
        ) from error
