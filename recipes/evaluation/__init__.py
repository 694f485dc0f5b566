"""Evaluation: decoding, metrics, and the bundles of a run."""
