"""The signatures of an exported model, as TensorFlow functions."""
