"""Small models whose options cover each other pairwise, and their exported files.

Every row is a model. Each value of each option occurs in the first NUM_SHORT rows of its family. Each
possible pair of values of two options occurs in all rows. test_structures.py asserts both.
"""

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from random_models import VOCABULARY, randomize
from seq2lite import zoo
from seq2lite.export.conversion.converter import convert
from seq2lite.export.conversion.saved_model import save
from seq2lite.export.signatures.dynamic import Signatures
from seq2lite.export.tflite_file.rewrites import arranged

TRANSFORMER_OPTIONS = {
    "positions": ("sinusoidal", "learned", "relative", "rotary"),
    "decoder": ("attention", "ssru"),
    "norm": ("layer", "rms"),
    "norm_first": (True, False),
    "activation": ("relu", "gelu", "swiglu"),
    "num_key_heads": (4, 2, 1),
    "embeddings": ("shared", "shared_target", "separate"),
    "num_layers": ((1, 1), (2, 1), (1, 2)),
}
TRANSFORMERS = (
    ("sinusoidal", "attention", "rms", True, "gelu", 1, "shared_target", (2, 1)),
    ("relative", "ssru", "layer", True, "swiglu", 2, "shared", (1, 1)),
    ("learned", "ssru", "rms", False, "relu", 4, "separate", (1, 2)),
    ("rotary", "attention", "layer", False, "relu", 4, "shared", (2, 1)),
    ("learned", "attention", "layer", False, "gelu", 2, "shared_target", (1, 1)),
    ("sinusoidal", "attention", "layer", False, "swiglu", 1, "separate", (1, 2)),
    ("rotary", "ssru", "rms", True, "gelu", 2, "separate", (1, 2)),
    ("sinusoidal", "ssru", "rms", True, "relu", 4, "shared_target", (1, 1)),
    ("learned", "ssru", "rms", True, "swiglu", 1, "shared", (2, 1)),
    ("relative", "attention", "rms", False, "swiglu", 4, "shared_target", (1, 2)),
    ("relative", "attention", "layer", True, "relu", 1, "separate", (1, 1)),
    ("relative", "attention", "layer", True, "relu", 2, "separate", (2, 1)),
    ("sinusoidal", "attention", "layer", True, "gelu", 2, "shared", (1, 2)),
    ("rotary", "attention", "layer", True, "swiglu", 1, "shared_target", (1, 1)),
    ("relative", "attention", "rms", True, "gelu", 4, "shared_target", (1, 2)),
)
RNN_OPTIONS = {
    "attention": (None, "fixed", "additive", "dot", "general", "concat"),
    "cell": ("lstm", "gru", "gru_reset_before"),
    "query": (None, "previous", "current", "bottom"),
    "bidirectional": (True, False, "first"),
    "bridge": ("dense", "backward", "copy", "zeros"),
    "read_out": ("tanh", "maxout", None),
    "input_feeding": (False, True),
    "residual_start": (None, 2),
    "reverse_source": (False, True),
    "embeddings": ("shared", "shared_target", "separate"),
    "num_layers": ((2, 2), (2, 1), (1, 2)),
    "scale_embeddings": (False, True),
}
# fmt: off
RNNS = (
    ("dot", "gru", "bottom", True, "copy", "maxout", False, 2, True, "shared_target", (1, 2), True),
    ("general", "gru_reset_before", "current", "first", "dense", "tanh", True, None, False, "shared_target", (2, 1), False),
    ("fixed", "lstm", None, False, "zeros", None, False, 2, False, "shared", (2, 2), False),
    ("additive", "gru_reset_before", "previous", True, "backward", None, False, None, True, "separate", (2, 1), True),
    ("concat", "gru", "current", False, "zeros", "tanh", True, None, True, "shared", (1, 2), True),
    (None, "lstm", None, "first", "dense", "maxout", False, None, True, "separate", (2, 2), True),
    ("dot", "lstm", "current", True, "backward", "tanh", True, 2, False, "separate", (2, 2), False),
    ("concat", "gru_reset_before", "previous", False, "copy", "maxout", False, 2, False, "shared", (2, 1), False),
    ("additive", "gru", "bottom", "first", "dense", None, False, 2, False, "shared", (1, 2), False),
    ("general", "lstm", "bottom", False, "copy", "tanh", False, None, True, "separate", (1, 2), False),
    ("fixed", "gru_reset_before", None, True, "backward", "tanh", False, None, True, "shared_target", (1, 2), True),
    ("general", "gru", "previous", True, "zeros", None, False, 2, False, "shared_target", (2, 2), True),
    ("additive", "lstm", "current", False, "copy", "maxout", True, None, False, "shared_target", (2, 2), False),
    (None, "gru", None, True, "backward", None, False, 2, False, "shared", (2, 1), False),
    ("dot", "gru_reset_before", "bottom", "first", "zeros", None, False, None, False, "shared", (2, 1), False),
    ("concat", "lstm", "bottom", True, "dense", None, False, None, True, "separate", (2, 2), False),
    ("fixed", "gru", None, "first", "copy", "maxout", False, None, True, "separate", (2, 1), False),
    ("dot", "lstm", "previous", False, "dense", "tanh", False, 2, False, "shared", (1, 2), False),
    (None, "gru_reset_before", None, False, "copy", None, False, 2, True, "shared_target", (2, 2), False),
    ("general", "lstm", "bottom", True, "backward", "maxout", False, 2, False, "shared", (2, 1), True),
    ("concat", "lstm", "previous", "first", "zeros", "maxout", False, 2, True, "shared_target", (1, 2), True),
    ("additive", "gru", "current", "first", "zeros", "tanh", False, 2, True, "separate", (1, 2), False),
    (None, "gru_reset_before", None, "first", "dense", "tanh", False, None, False, "shared_target", (1, 2), False),
    ("fixed", "lstm", None, False, "dense", None, False, 2, False, "shared", (2, 2), False),
    ("concat", "lstm", "bottom", True, "backward", "maxout", False, 2, True, "separate", (1, 2), False),
)
# fmt: on
NUM_SHORT = {"transformer": 4, "rnn": 6}


def _named():
    for family, options, rows in (
        ("transformer", TRANSFORMER_OPTIONS, TRANSFORMERS),
        ("rnn", RNN_OPTIONS, RNNS),
    ):
        for number, row in enumerate(rows):
            name = f"{family}-{number}-{row[0]}-{row[1]}"
            yield name, number < NUM_SHORT[family], dict(zip(options, row, strict=True))


STRUCTURES = {name: options for name, _, options in _named()}
PARAMS = [
    pytest.param(name, marks=[] if is_short else [pytest.mark.long])
    for name, is_short, _ in _named()
]
# Structures whose files contain other searches too: an RNN, a recurrent decoder, a growing cache.
SEARCHED = ("rnn-6-dot-lstm", "transformer-6-rotary-ssru", "transformer-5-sinusoidal-attention")
BEAM = {"num_beams": 4, "num_hypotheses": 3, "length_penalty": 0.8, "coverage_penalty": 0.2}
SAMPLE = {"temperature": 0.7, "top_k": 10, "top_p": 0.9}


# Models with matrices large enough to be quantized. The sizes of the RNN are such that neither blocks of
# 32 nor bytes of two 4-bit weights divide them.
QUANTIZABLE = {
    "transformer": lambda: zoo.transformer(
        vocabulary_size=200, num_layers=1, model_dim=64, num_heads=2, feed_forward_dim=96
    ),
    "rnn": lambda: zoo.rnn_seq2seq(
        vocabulary_size=201,
        num_layers=1,
        embedding_dim=41,
        hidden_dim=52,
        embeddings="separate",
        attention="general",
    ),
}


@dataclass(frozen=True)
class Exported:
    """A Keras model and the bytes of its float32 file."""

    model: zoo.Seq2Seq
    content: bytes

    @cached_property
    def greedy_search(self):
        """`zoo.greedy_search` of the model over source ids and a maximum length, traced once."""
        signature = [tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((), tf.int32)]

        @tf.function(input_signature=signature, autograph=False)
        def search(source, max_length):
            return zoo.greedy_search(self.model, source, max_length)

        return search


def structured_model(name):
    """The model of a row, with random weights, that ends some targets and generates no padding.

    Or the model of a name in QUANTIZABLE, with random weights.
    """
    if name in QUANTIZABLE:
        return randomize(QUANTIZABLE[name](), scale=2.0)
    options = {"vocabulary_size": VOCABULARY, **STRUCTURES[name]}
    if options["embeddings"] != "shared":
        options["source_vocabulary_size"] = VOCABULARY + 10
    if name.startswith("transformer"):
        max_positions = 64 if options["positions"] == "learned" else None
        sizes = {"model_dim": 16, "num_heads": 4, "feed_forward_dim": 24}
        model = zoo.transformer(**sizes, **options, max_positions=max_positions)
    else:
        # Sizes differ where the options allow it.
        is_tied = options["embeddings"] != "separate" and options["read_out"] is None
        model = zoo.rnn_seq2seq(embedding_dim=16 if is_tied else 12, hidden_dim=16, **options)
    randomize(model, scale=2.0)
    bias, ids = model.output_projection.bias, np.arange(VOCABULARY)
    bias.assign(np.where(ids == model.pad_id, -30.0, np.where(ids == model.end_id, 0.4, bias)))
    return model


def structured_file(name):
    """The bytes of the float32 file of `export.to_tflite`, converted in this process.

    Files of SEARCHED have the signatures `beam` and `sample` too, those of QUANTIZABLE attention.
    """
    model = structured_model(name)
    signatures = Signatures(model, attention=name in QUANTIZABLE)
    if name in SEARCHED:
        signatures.functions = {**signatures.functions, **_other_searches(model)}
    with tempfile.TemporaryDirectory() as folder:
        save(signatures, Path(folder) / "saved_model")
        return arranged(convert(Path(folder) / "saved_model"))


def _other_searches(model):
    """Searches that a user adds to a file."""
    ids = tf.TensorSpec((None, None), tf.int32)

    @tf.function(input_signature=[ids, tf.TensorSpec((), tf.int32), ids])
    def beam(source, max_length, prefix):
        tokens, lengths, scores = zoo.beam_search(model, source, max_length, prefix=prefix, **BEAM)
        return {"tokens": tokens, "lengths": lengths, "scores": scores}

    @tf.function(input_signature=[ids, tf.TensorSpec((None, None), tf.float32)])
    def sample(source, draws):
        tokens, lengths = zoo.sample(model, source, tf.shape(draws)[1], draws=draws, **SAMPLE)
        return {"tokens": tokens, "lengths": lengths}

    return {"beam": beam, "sample": sample}
