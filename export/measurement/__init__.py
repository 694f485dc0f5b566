"""Measurement of an exported file: speed, memory, size, time per op."""
