"""Small models of every kind, random weights and random ids."""

import numpy as np
import pytest

from seq2lite import zoo
from seq2lite.export.conversion.converter import convert
from seq2lite.export.conversion.precision import in_float32
from seq2lite.export.conversion.saved_model import save
from seq2lite.export.quantization.modes import quantize
from seq2lite.export.signatures.dynamic import Signatures
from seq2lite.export.tflite_file.rewrites import arranged

VOCABULARY = 60
TRANSFORMERS = {
    "transformer": {},
    "transformer-post-norm": {"norm_first": False},
    "transformer-separate": {"embeddings": "separate", "source_vocabulary_size": 70},
    "transformer-deep-shallow": {"num_layers": (3, 1), "embeddings": "shared_target"},
    "transformer-learned-gelu": {"positions": "learned", "max_positions": 64, "activation": "gelu"},
    "transformer-relative": {"positions": "relative"},
    "transformer-rotary-rms-swiglu-grouped": {
        "positions": "rotary",
        "norm": "rms",
        "activation": "swiglu",
        "num_heads": 4,
        "num_key_heads": 2,
    },
    "transformer-ssru": {"decoder": "ssru"},
    "transformer-relative-multi-query": {"positions": "relative", "num_key_heads": 1},
    "transformer-relative-ssru-post-norm": {
        "positions": "relative",
        "decoder": "ssru",
        "norm_first": False,
    },
}
RNNS = {
    f"{cell}-{attention}-bi": {"cell": cell, "attention": attention}
    for cell in ("lstm", "gru")
    for attention in (None, "additive", "dot", "general", "concat")
}
RNNS |= {
    f"lstm-{attention}-uni": {
        "cell": "lstm",
        "attention": attention,
        "bidirectional": False,
        "embeddings": "separate",
    }
    for attention in (None, "dot", "general")
}
RNNS |= {
    "lstm-None-deep-shallow": {"cell": "lstm", "attention": None, "num_layers": (3, 1)},
    "gru-general-shallow-deep": {"cell": "gru", "attention": "general", "num_layers": (1, 3)},
}
RNNS |= {
    "lstm-sutskever": {
        "cell": "lstm",
        "attention": None,
        "bidirectional": False,
        "reverse_source": True,
        "bridge": "copy",
        "read_out": None,
        "hidden_dim": 12,
        "embeddings": "shared_target",
        "source_vocabulary_size": 70,
    },
    "gru-cho": {
        "cell": "gru_reset_before",
        "attention": "fixed",
        "bidirectional": False,
        "read_out": "maxout",
        "bridge": "zeros",
        "num_layers": 1,
    },
    "gru-bahdanau": {
        "cell": "gru_reset_before",
        "attention": "additive",
        "num_layers": 1,
        "encoder_dim": 20,
        "read_out": "maxout",
        "read_out_dim": 10,
        "bridge": "backward",
        "embeddings": "separate",
        "scale_embeddings": True,
    },
    "lstm-luong": {
        "cell": "lstm",
        "attention": "general",
        "bidirectional": False,
        "reverse_source": True,
        "bridge": "copy",
        "input_feeding": True,
    },
    "lstm-gnmt": {
        "cell": "lstm",
        "attention": "additive",
        "query": "bottom",
        "num_layers": (4, 3),
        "bidirectional": "first",
        "residual_start": 3,
        "bridge": "zeros",
        "read_out": None,
        "embeddings": "separate",
        "scale_embeddings": True,
    },
    "gru-dot-residual-current": {
        "cell": "gru",
        "attention": "dot",
        "residual_start": 2,
        "num_layers": 3,
        "bridge": "copy",
    },
    "gru-concat-bottom": {
        "cell": "gru",
        "attention": "concat",
        "query": "bottom",
        "read_out": "maxout",
    },
}
CASES = [*TRANSFORMERS, *RNNS]

# Few models with most pairs of options, chosen greedily: 123 of the 191 pairs of values of two options
# that a Transformer can have, and 426 of the 668 of an RNN. The models above hold 114 and 408.
MIXED = {
    "mixed-transformer-1": {},
    "mixed-transformer-2": {
        "num_key_heads": 1,
        "activation": "gelu",
        "norm": "rms",
        "norm_first": False,
        "positions": "learned",
        "max_positions": 64,
        "decoder": "ssru",
        "embeddings": "shared_target",
    },
    "mixed-transformer-3": {
        "num_layers": (3, 1),
        "num_heads": 4,
        "num_key_heads": 2,
        "activation": "swiglu",
        "positions": "relative",
        "decoder": "ssru",
        "embeddings": "separate",
        "source_vocabulary_size": 70,
    },
    "mixed-transformer-4": {
        "num_layers": (3, 1),
        "norm": "rms",
        "norm_first": False,
        "positions": "rotary",
        "embeddings": "separate",
    },
    "mixed-transformer-5": {
        "num_heads": 4,
        "num_key_heads": 2,
        "activation": "swiglu",
        "norm": "rms",
        "norm_first": False,
        "positions": "relative",
    },
    "mixed-rnn-1": {
        "cell": "gru",
        "num_layers": (1, 3),
        "reverse_source": True,
        "residual_start": 3,
        "bridge": "zeros",
        "attention": "dot",
        "input_feeding": True,
        "read_out": "maxout",
        "embeddings": "separate",
    },
    "mixed-rnn-2": {
        "cell": "gru_reset_before",
        "num_layers": 1,
        "bridge": "backward",
        "attention": "general",
        "query": "bottom",
        "embeddings": "shared_target",
        "scale_embeddings": True,
    },
    "mixed-rnn-3": {
        "bidirectional": False,
        "reverse_source": True,
        "residual_start": 2,
        "attention": "fixed",
        "read_out": None,
        "scale_embeddings": True,
    },
    "mixed-rnn-4": {
        "num_layers": (3, 1),
        "bidirectional": "first",
        "bridge": "copy",
        "attention": "additive",
        "query": "current",
        "input_feeding": True,
    },
    "mixed-rnn-5": {
        "cell": "gru_reset_before",
        "num_layers": (3, 1),
        "bidirectional": "first",
        "residual_start": 3,
        "bridge": "zeros",
        "attention": "concat",
        "query": "previous",
        "read_out": None,
        "embeddings": "separate",
        "scale_embeddings": True,
    },
    "mixed-rnn-6": {
        "cell": "gru",
        "num_layers": (3, 1),
        "bidirectional": False,
        "residual_start": 2,
        "bridge": "copy",
        "attention": None,
        "read_out": "maxout",
        "embeddings": "shared_target",
        "source_vocabulary_size": 70,
    },
    "mixed-rnn-7": {
        "cell": "gru_reset_before",
        "bidirectional": "first",
        "reverse_source": True,
        "attention": "concat",
        "query": "current",
        "input_feeding": True,
        "read_out": "maxout",
        "embeddings": "shared_target",
    },
    "mixed-rnn-8": {
        "cell": "gru",
        "num_layers": (1, 3),
        "reverse_source": True,
        "residual_start": 2,
        "bridge": "backward",
        "attention": "general",
        "query": "previous",
        "read_out": None,
    },
}
# Every kind of state and of attention: for what takes too long to try with all cases.
FEW_CASES = [
    "transformer",
    "transformer-rotary-rms-swiglu-grouped",
    "transformer-relative-ssru-post-norm",
    "gru-None-bi",
    "gru-cho",
    "gru-bahdanau",
    "lstm-luong",
    "lstm-gnmt",
]


# Presets with smaller sizes, as the option `architecture` of a recipe.
SMALL_PRESETS = {
    "transformer_tiny": ("num_layers=1", "model_dim=64", "num_heads=2", "feed_forward_dim=64"),
    "rnn_tiny": ("num_layers=1", "embedding_dim=64", "hidden_dim=64"),
}


def mostly_long(params, short):
    """`params` of a parametrization, all of which are `long` but those in `short`."""
    marks = {param: [] if param in short else [pytest.mark.long] for param in params}
    return [
        pytest.param(*(param if isinstance(param, tuple) else [param]), marks=marks[param])
        for param in params
    ]


def small_model(case, **options):
    """Build the model of one of CASES or MIXED, with random weights; `options` take precedence."""
    return randomize(initial_model(case, **options), scale=2.0)


def initial_model(case, **options):
    """`small_model` with Keras's initial weights."""
    options = {**{**TRANSFORMERS, **RNNS, **MIXED}[case], **options}
    if "transformer" in case:
        sizes = {"num_layers": 2, "model_dim": 16, "num_heads": 2, "feed_forward_dim": 24}
        return zoo.transformer(vocabulary_size=VOCABULARY, **{**sizes, **options})
    # A table that is shared with the output is as wide as the read-out, or the hidden states.
    is_shared = options.get("embeddings") != "separate"
    hidden_dim = 12 if is_shared and options.get("read_out", "tanh") is None else 16
    sizes = {"num_layers": 2, "embedding_dim": 12, "hidden_dim": hidden_dim}
    return zoo.rnn_seq2seq(vocabulary_size=VOCABULARY, **{**sizes, **options})


def randomize(model, seed=0, scale=1.0):
    """Random values for every weight, biases and norms too, so that none can hide a mistake."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        spread = scale * (variable.shape[0] ** -0.5 if len(variable.shape) > 1 else 0.1)
        value = rng.normal(0, spread, variable.shape)
        variable.assign(value + 1 if variable.path.endswith("gamma") else value)
    return model


def with_large_scores(case, size):
    """A small model whose queries, or score vectors, are multiplied by `size`."""
    model = small_model(case)
    for variable in model.variables:
        names = variable.path.split("/")
        factors = np.ones(variable.shape[-1])
        if "query_key_value" in names:
            factors[: model.model_dim] = size
        elif {"query", "score_vector"} & set(names) or ("key_map" in names and "luong" in case):
            factors[:] = size
        variable.assign(variable * factors.astype("float32"))
    return model


def random_ids(rng, lengths, vocabulary_size=VOCABULARY, pad_id=0):
    """int32 ids `(len(lengths), max(lengths))`, without special ids, padded at the end."""
    ids = np.full((len(lengths), max(lengths)), pad_id, np.int32)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = rng.integers(4, vocabulary_size, length)
    return ids


def float32_file(model, folder):
    """The bytes of `export.to_tflite`'s float32 file, converted in this process: in half the time."""
    save(Signatures(in_float32(model)), folder / "saved_model")
    return quantize(arranged(convert(folder / "saved_model")), "float32")[0]
