"""Sequence-to-sequence models in Keras: the RNN Seq2Seq and the Transformer, behind one contract."""

from seq2lite.extras import require_extra

require_extra("train", __name__, "keras")

from .contract import Seq2Seq
from .layers.embedding import TokenEmbedding
from .presets import build, list_presets
from .rnn.builder import rnn_seq2seq
from .search.beam import beam_search
from .search.greedy import greedy_search
from .search.sampling import sample
from .search.scoring import score
from .source_spec import SourceSpec
from .transformer.builder import transformer

__all__ = [
    "Seq2Seq",
    "SourceSpec",
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
