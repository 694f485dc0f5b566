"""The TFLite converter: `python -m seq2lite.export.conversion.converter SAVED_MODEL OUTPUT`."""

from pathlib import Path

import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from ..system.isolation import ConversionError, conversion_errors, run_main
from ..tflite_file.rewrites import without_repetition


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


def main(saved_model, output):
    """Convert a SavedModel; write the file to `output`."""
    with conversion_errors(OSError):
        Path(output).write_bytes(without_repetition(convert(saved_model)))


if __name__ == "__main__":
    run_main(main)
