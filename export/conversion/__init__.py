"""From a Keras model through a SavedModel to a float32 TFLite file."""
