"""A scan over the time axis."""

from itertools import accumulate

from keras import ops, tree


def scan_time(step, first, sequences):
    """`ops.scan` along the time axis of `sequences`, each `(batch, length, dim)`.

    Args:
        step: Takes the carry and the list of each sequence's `(batch, dim)`; returns the next carry.
        first: The first carry: nested tensors `(batch, dim)`.
        sequences: List of tensors.

    Returns:
        The carries with a time axis: nested tensors `(batch, length, dim)`.
    """
    # Joined, because Keras's scan accepts only one sequence if its length is unknown.
    ends = list(accumulate(sequence.shape[-1] for sequence in sequences))[:-1]
    joined = ops.concatenate(sequences, axis=-1) if ends else sequences[0]

    def scan_step(carry, now):
        carry = step(carry, ops.split(now, ends, axis=-1) if ends else [now])
        return carry, carry

    _, results = ops.scan(scan_step, first, ops.transpose(joined, (1, 0, 2)))
    return tree.map_structure(lambda result: ops.transpose(result, (1, 0, 2)), results)
