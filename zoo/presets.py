"""Presets: named sizes of both families, from papers, for devices and to start with."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from .checks import require_one_of
from .contract import Seq2Seq
from .rnn.builder import rnn_seq2seq
from .rnn.model import RNNSeq2Seq
from .rnn.options import RNNOptions
from .transformer.builder import transformer
from .transformer.model import Transformer
from .transformer.options import TransformerOptions

BUILDERS: dict[str, Callable[..., Seq2Seq]] = {
    "transformer": transformer,
    "rnn_seq2seq": rnn_seq2seq,
}
FAMILIES: dict[str, type[Seq2Seq]] = {"transformer": Transformer, "rnn_seq2seq": RNNSeq2Seq}
OPTIONS: dict[str, type] = {"transformer": TransformerOptions, "rnn_seq2seq": RNNOptions}


PRESETS: dict[str, dict[str, Any]] = {
    # Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, table 3: base and big.
    "transformer_base": {
        "builder": "transformer",
        "num_layers": 6,
        "model_dim": 512,
        "num_heads": 8,
        "feed_forward_dim": 2048,
        "norm_first": False,
        "dropout": 0.1,
    },
    "transformer_big": {
        "builder": "transformer",
        "num_layers": 6,
        "model_dim": 1024,
        "num_heads": 16,
        "feed_forward_dim": 4096,
        "norm_first": False,
        "dropout": 0.3,
    },
    # Sutskever et al. 2014, https://arxiv.org/abs/1409.3215, section 3.4.
    "sutskever_2014": {
        "builder": "rnn_seq2seq",
        "cell": "lstm",
        "num_layers": 4,
        "embedding_dim": 1000,
        "hidden_dim": 1000,
        "bidirectional": False,
        "reverse_source": True,
        "bridge": "copy",
        "attention": None,
        "read_out": None,
        "embeddings": "separate",
        "dropout": 0.0,
    },
    # Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, appendix A.2 and B.1: RNNsearch.
    "bahdanau_2015": {
        "builder": "rnn_seq2seq",
        "cell": "gru_reset_before",
        "num_layers": 1,
        "embedding_dim": 620,
        "hidden_dim": 1000,
        "encoder_dim": 2000,
        "bidirectional": True,
        "bridge": "backward",
        "attention": "additive",
        "read_out": "maxout",
        "read_out_dim": 500,
        "embeddings": "separate",
        "dropout": 0.0,
    },
    # Luong et al. 2015, https://arxiv.org/abs/1508.04025: sizes of section 4.1, global attention
    # (dot, section 3.1) with input feeding (section 3.3).
    "luong_2015": {
        "builder": "rnn_seq2seq",
        "cell": "lstm",
        "num_layers": 4,
        "embedding_dim": 1000,
        "hidden_dim": 1000,
        "bidirectional": False,
        "reverse_source": True,
        "bridge": "copy",
        "attention": "dot",
        "input_feeding": True,
        "embeddings": "separate",
        "dropout": 0.2,
    },
    # Wu et al. 2016, https://arxiv.org/abs/1609.08144, section 3.
    "gnmt": {
        "builder": "rnn_seq2seq",
        "cell": "lstm",
        "num_layers": 8,
        "embedding_dim": 1024,
        "hidden_dim": 1024,
        "bidirectional": "first",
        "residual_start": 3,
        "bridge": "zeros",
        "attention": "additive",
        "query": "bottom",
        "read_out": None,
        "embeddings": "separate",
        "dropout": 0.2,
    },
    # For devices, after Marian's students (Kim et al. 2019, https://aclanthology.org/D19-5632): a
    # deep encoder, which runs once, and a shallow recurrent decoder, which runs for each token.
    "student_tiny": {
        "builder": "transformer",
        "num_layers": (6, 2),
        "model_dim": 256,
        "num_heads": 8,
        "feed_forward_dim": 1536,
        "decoder": "ssru",
    },
    "student_base": {
        "builder": "transformer",
        "num_layers": (6, 4),
        "model_dim": 384,
        "num_heads": 8,
        "feed_forward_dim": 1536,
        "decoder": "ssru",
    },
    # To start with. tiny: minutes of training on 2 cores; small: an hour.
    "transformer_tiny": {
        "builder": "transformer",
        "num_layers": 2,
        "model_dim": 192,
        "num_heads": 4,
        "feed_forward_dim": 768,
    },
    "transformer_small": {
        "builder": "transformer",
        "num_layers": 4,
        "model_dim": 256,
        "num_heads": 4,
        "feed_forward_dim": 1024,
    },
    "rnn_tiny": {
        "builder": "rnn_seq2seq",
        "cell": "gru",
        "num_layers": 1,
        "embedding_dim": 192,
        "hidden_dim": 256,
    },
    "rnn_small": {
        "builder": "rnn_seq2seq",
        "cell": "lstm",
        "num_layers": 2,
        "embedding_dim": 256,
        "hidden_dim": 512,
    },
}


def list_presets() -> list[str]:
    """Return the names of all presets.

    Example:
        >>> from seq2lite import zoo
        >>> "transformer_tiny" in zoo.list_presets()
        True
    """
    return sorted(PRESETS)


def family_of(preset: str) -> type[Seq2Seq]:
    """Return the class of a preset's models, whose attributes hold before a model is built.

    Raises:
        ValueError: The preset does not exist.

    Example:
        >>> from seq2lite.zoo.presets import family_of
        >>> family_of("rnn_tiny").peak_learning_rate
        0.004
    """
    require_one_of("preset", preset, list_presets())
    return FAMILIES[PRESETS[preset]["builder"]]


def check_options(preset: str, **options: Any) -> None:
    """Raise ValueError unless a preset can be built with the options; create no weights.

    Args:
        preset: One of `list_presets()`.
        options: Arguments of the preset's builder, except the vocabulary.

    Example:
        >>> from seq2lite.zoo.presets import check_options
        >>> check_options("rnn_tiny", num_layers=2)
    """
    require_one_of("preset", preset, list_presets())
    builder = PRESETS[preset]["builder"]
    defaults = {n: p.default for n, p in inspect.signature(BUILDERS[builder]).parameters.items()}
    settings = {**defaults, **PRESETS[preset], **options}
    names = [field.name for field in dataclasses.fields(OPTIONS[builder])]
    OPTIONS[builder](**{name: settings[name] for name in names})


def build(preset: str, **options: Any) -> Seq2Seq:
    """Build a model from a preset.

    Args:
        preset: One of `list_presets()`.
        options: `vocabulary_size`, and any other arguments of the preset's builder, which take
            precedence over the preset's.

    Returns:
        A `Seq2Seq` model.

    Raises:
        ValueError: The preset does not exist, or an option is out of range.

    Example:
        >>> from seq2lite import zoo
        >>> zoo.build("rnn_tiny", vocabulary_size=50, attention="additive").name
        'rnn_tiny'
    """
    require_one_of("preset", preset, list_presets())
    settings = dict(PRESETS[preset])
    builder = BUILDERS[settings.pop("builder")]
    return builder(**{"name": preset, **settings, **options})
