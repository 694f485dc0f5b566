"""A scan over the time axis."""

from itertools import accumulate

from keras import ops, tree


def scan_time(step, first, sequences):
    """`ops.scan` along the time of `sequences`, each `(batch, length, dim)`.

    Args:
        step: Takes the carry and a list of each sequence's `(batch, dim)`; gives the next carry.
        first: The first carry: nested tensors `(batch, dim)`.
        sequences: List of tensors.

    Returns:
        What `step` gave, with a time axis: nested tensors `(batch, length, dim)`.
    """
    # Keras's scan takes no second sequence where the length is unknown: all are one.
    ends = list(accumulate(sequence.shape[-1] for sequence in sequences))[:-1]
    joined = ops.concatenate(sequences, axis=-1) if ends else sequences[0]

    def of_one_time(carry, now):
        carry = step(carry, ops.split(now, ends, axis=-1) if ends else [now])
        return carry, carry

    _, results = ops.scan(of_one_time, first, ops.transpose(joined, (1, 0, 2)))
    return tree.map_structure(lambda result: ops.transpose(result, (1, 0, 2)), results)
