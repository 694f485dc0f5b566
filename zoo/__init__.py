"""Sequence-to-sequence models in Keras: the RNN Seq2Seq and the Transformer, behind one contract."""

from .beam import beam_search
from .contract import Seq2Seq
from .embedding import TokenEmbedding
from .presets import build, list_presets
from .rnn import rnn_seq2seq
from .search import greedy_search, sample, score
from .transformer import transformer

__all__ = [
    "Seq2Seq",
    "TokenEmbedding",
    "beam_search",
    "build",
    "greedy_search",
    "list_presets",
    "rnn_seq2seq",
    "sample",
    "score",
    "transformer",
]
