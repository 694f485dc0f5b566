"""Quantization of a float32 TFLite file."""
