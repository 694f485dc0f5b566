"""Greedy search, beam search, sampling and scoring, over the contract of `Seq2Seq`."""

from .beam import beam_search
from .greedy import greedy_search
from .sampling import sample
from .scoring import score

__all__ = ["beam_search", "greedy_search", "sample", "score"]
