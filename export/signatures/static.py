"""The signatures `encode` and `decode_step` with static shapes, for every runtime."""

import tensorflow as tf

from seq2lite.zoo.lowering import lowered

from .lowering import run_step, static_lowering


class StaticSignatures(tf.Module):
    """Static `encode` and `decode_step` of a model, ready for `tf.saved_model.save`.

    The state is the one that the model documents, with a KV cache of a fixed number of slots
    (`zoo.transformer.cache.FixedCache`). `encode` returns only the tensors that depend on the source;
    the others that `decode_step` takes are zeros at first. A step does not return the tensors that
    it leaves unchanged: the host keeps them.

    Args:
        model: A `zoo.Seq2Seq` that computes in float32.
        max_source_length: Length of each source, with padding.
        max_target_length: Number of slots of the KV cache; the start takes one.
        batch: Number of sentences.
        attention: Whether `decode_step` also returns `attention (batch, source_length)`.

    Attributes:
        functions: Name to concrete function.

    Raises:
        ValueError: A step changes the shape of a tensor of the state.
    """

    def __init__(self, model, max_source_length, max_target_length, batch=1, attention=False):
        super().__init__()
        self.weights = [variable.value for variable in model.variables]
        spec = model.source_spec
        specs = {}

        @tf.function(autograph=False)
        def encode(source):
            state = model.encode(source)
            specs.update(
                {name: tf.TensorSpec(x.shape, x.dtype, name=name) for name, x in state.items()}
            )
            # Some runtimes cannot return constants.
            return {name: x for name, x in state.items() if not _is_zero(x)}

        @tf.function(autograph=False)
        def decode_step(token, **state):
            outputs, after = run_step(model, token, state, attention)
            for name, x in after.items():
                if x.shape != specs[name].shape or not x.shape.is_fully_defined():
                    raise ValueError(
                        "`model` must have a state whose shapes no step changes. Received: "
                        f"{name} of shape {specs[name].shape}, then {x.shape}"
                    )
            # Some runtimes cannot return their inputs.
            changed = {name: x for name, x in after.items() if x is not state[name]}
            return {**outputs, **changed}

        source = tf.TensorSpec(spec.shape(batch, max_source_length), spec.dtype, name="source")
        token = tf.TensorSpec((batch,), tf.int32, name="token")
        with lowered(static_lowering(model, max_target_length)):
            self.functions = {
                "encode": encode.get_concrete_function(source),
                "decode_step": decode_step.get_concrete_function(token, **specs),
            }


def _is_zero(x):
    """Whether a tensor is zero for every source, as parts of a decoder's first state are."""
    value = tf.get_static_value(x)
    return value is not None and not value.any()
