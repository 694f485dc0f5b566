"""What runs a bundle: NumPy, SentencePiece and a TFLite interpreter, without TensorFlow and Keras."""
