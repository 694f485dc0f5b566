"""Subprocess: `python -m seq2lite.export.convert SAVED_MODEL OUTPUT QUANTIZATION`."""

import sys
from pathlib import Path

import tensorflow as tf

from .flatbuffer import share_equal_vectors


def convert(saved_model, quantization):
    """A SavedModel's ids signatures to the bytes of one TFLite file."""
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(saved_model), signature_keys=["generate", "encode", "decode_step"]
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantization != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


if __name__ == "__main__":
    source, output, mode = sys.argv[1:]
    Path(output).write_bytes(share_equal_vectors(convert(source, mode)))
