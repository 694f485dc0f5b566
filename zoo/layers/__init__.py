"""Layers and operations that both families use."""
