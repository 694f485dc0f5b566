"""The runner of a bundle: NumPy, SentencePiece and a TFLite interpreter, no TensorFlow or Keras."""
