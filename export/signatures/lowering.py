"""Lowerings: how models are traced for TFLite."""

import tensorflow as tf

from seq2lite.zoo.lowering import Lowering


def call(function, *arguments):
    """Call `function` in a graph of its own, which the converted file holds once.

    TFLite has no call. An IF whose other branch is never taken is the closest; equal graphs become
    one in `share_equal_graphs`. A runtime prepares such a graph again at each call, so use this
    for work that runs once per source, not at each step (measured: 1.4 times a step's time).
    """
    outputs = []

    def called():
        outputs.append(function(*arguments))
        return outputs[0]

    def never():
        unknown = tf.shape(arguments[0])[0]  # a size that is unknown while tracing
        return tf.nest.map_structure(
            lambda x: tf.zeros([size or unknown for size in x.shape], x.dtype), outputs[0]
        )

    return tf.cond(tf.greater_equal(tf.shape(arguments[0])[0], 0), called, never)


def run_step(model, token, state, attention=False):
    """Run a decoding step.

    Args:
        model: A `zoo.Seq2Seq`.
        token: int32 ids `(batch,)`.
        state: dict of the state's tensors.
        attention: Whether to return the weights over the source.

    Returns:
        dict of `logits` and, with `attention`, `attention`; and the next state.

    Raises:
        ValueError: A tensor of the state has the name of another output.
    """
    for name in {"logits", "attention"} & state.keys():
        raise ValueError(
            f"`model` must have no tensor named {name!r} in its state: `decode_step` returns another "
            f"one of this name. Received: a state of {', '.join(state)}"
        )
    if not attention:
        logits, after = model.decode_step(token, state)
        return {"logits": logits}, after
    logits, after, weights = model.step(token, state, return_attention=True)
    return {"logits": logits, "attention": weights}, model.grow(after, 1)


def arg_max(logits):
    """`most_probable` as the single TFLite op ARG_MAX."""
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


@tf.function(experimental_implements="embedding_matmul", autograph=False)
def _embedding_lookup(table, ids):
    """Look up embeddings; the converter makes it EMBEDDING_LOOKUP: table first, ids of rank 1.

    That op reads the int8 table of the tied output projection. A GATHER would need a second copy.
    """
    return tf.gather(table, ids)


def _take_rows(table, ids):
    return _embedding_lookup(tf.convert_to_tensor(table), ids)


# Any batch and length, with loops: for the runtimes of phones, servers and browsers.
DYNAMIC = Lowering(take_rows=_take_rows, call=call)


def static_lowering(model, max_target_length):
    """Static shapes and ops that every runtime has, microcontrollers included."""
    return Lowering(
        take_rows=lambda table, ids: tf.gather(tf.convert_to_tensor(table), ids),
        unroll=True,
        gelu_op=False,
        padding_id=model.end_id,
        cache_slots=max_target_length,
    )
