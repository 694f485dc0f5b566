"""Comparison of an exported file with Keras."""
