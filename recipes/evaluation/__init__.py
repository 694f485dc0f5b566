"""Decoding and metrics."""
