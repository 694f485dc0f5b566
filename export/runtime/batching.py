"""Padding of batches."""

import numpy as np


def pad(rows, pad_id):
    """Lists of ids to one int32 array `(len(rows), longest)`."""
    width = max(len(row) for row in rows)
    return np.array([[*row, *[pad_id] * (width - len(row))] for row in rows], np.int32)
