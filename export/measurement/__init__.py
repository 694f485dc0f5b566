"""Measurement of an exported file: speed, memory, size and the time of each op."""
