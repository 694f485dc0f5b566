"""Random weights and random ids."""

import numpy as np


def randomize(model, seed=0, scale=1.0):
    """Random values for every weight, biases and norms too, so that none can hide a mistake."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        spread = scale * (variable.shape[0] ** -0.5 if len(variable.shape) > 1 else 0.1)
        value = rng.normal(0, spread, variable.shape)
        variable.assign(value + 1 if variable.path.endswith("gamma") else value)
    return model


def random_ids(rng, lengths, vocabulary_size, pad_id=0):
    """int32 ids `(len(lengths), max(lengths))`, without special ids, padded at the end."""
    ids = np.full((len(lengths), max(lengths)), pad_id, np.int32)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = rng.integers(4, vocabulary_size, length)
    return ids
