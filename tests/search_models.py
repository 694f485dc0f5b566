"""Models for tests of the searches."""

import numpy as np

from random_models import VOCABULARY, small_model

PAD, START, END = 0, 2, 3


def model_of(case, **options):
    """A model of CASES that ends some sentences early and never generates padding."""
    model = small_model(case, **options)
    bias = model.output_projection.bias.numpy()
    bias[PAD], bias[END] = -1e4, bias[END] + 2
    model.output_projection.bias.assign(bias)
    return model


def endless(model):
    """The same model, which never generates the end."""
    bias = model.output_projection.bias.numpy()
    model.output_projection.bias.assign(np.where(np.arange(VOCABULARY) == END, -1e4, bias))
    return model


def rows(tokens, lengths):
    """The tokens of each row of a search's results, as lists."""
    return [list(row[:n]) for row, n in zip(np.array(tokens), np.array(lengths), strict=True)]
