"""Softmax over attention scores."""

from keras import ops


def attention_weights(scores):
    """Softmax over the last axis; `ops.softmax` warns about an axis of size 1, whose softmax is 1."""
    return ops.ones_like(scores) if scores.shape[-1] == 1 else ops.softmax(scores)
