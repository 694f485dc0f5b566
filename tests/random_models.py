"""Small models of every kind, random weights and random ids."""

import numpy as np

from seq2lite import zoo

VOCABULARY = 60
TRANSFORMERS = {
    "transformer": {},
    "transformer-post-norm": {"norm_first": False},
    "transformer-untied": {"tie_embeddings": False},
    "transformer-deep-shallow": {"num_layers": (3, 1)},
}
RNNS = {
    f"{cell}-{attention}-{'bi' if bidirectional else 'uni'}": {
        "cell": cell,
        "attention": attention,
        "bidirectional": bidirectional,
        "tie_embeddings": bidirectional,
    }
    for cell in ("lstm", "gru")
    for attention in (None, "additive", "dot", "general", "concat")
    for bidirectional in (True, False)
}
RNNS |= {
    "lstm-None-deep-shallow": {"cell": "lstm", "attention": None, "num_layers": (3, 1)},
    "gru-general-shallow-deep": {"cell": "gru", "attention": "general", "num_layers": (1, 3)},
}
CASES = [*TRANSFORMERS, *RNNS]


def small_model(case):
    """The model of one of CASES, with random weights."""
    if case in TRANSFORMERS:
        sizes = {"num_layers": 2, "model_dim": 16, "num_heads": 2, "feed_forward_dim": 24}
        model = zoo.transformer(vocabulary_size=VOCABULARY, **{**sizes, **TRANSFORMERS[case]})
    else:
        sizes = {"num_layers": 2, "embedding_dim": 12, "hidden_dim": 16}
        model = zoo.rnn_seq2seq(vocabulary_size=VOCABULARY, **{**sizes, **RNNS[case]})
    return randomize(model, scale=2.0)


def randomize(model, seed=0, scale=1.0):
    """Random values for every weight, biases and norms too, so that none can hide a mistake."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        spread = scale * (variable.shape[0] ** -0.5 if len(variable.shape) > 1 else 0.1)
        value = rng.normal(0, spread, variable.shape)
        variable.assign(value + 1 if variable.path.endswith("gamma") else value)
    return model


def random_ids(rng, lengths, vocabulary_size=VOCABULARY, pad_id=0):
    """int32 ids `(len(lengths), max(lengths))`, without special ids, padded at the end."""
    ids = np.full((len(lengths), max(lengths)), pad_id, np.int32)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = rng.integers(4, vocabulary_size, length)
    return ids
