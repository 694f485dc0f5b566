"""Plots of alignments and of model architectures. Needs matplotlib; nothing else of the zoo does."""

from .alignment import plot_alignment
from .architecture import plot_architecture

__all__ = ["plot_alignment", "plot_architecture"]
