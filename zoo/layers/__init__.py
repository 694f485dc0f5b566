"""Layers and operations shared by both families."""
