"""The signatures of an exported model, as TensorFlow functions over the zoo's contract."""

import tensorflow as tf

from seq2lite.zoo.search.beam import beam_search
from seq2lite.zoo.search.greedy import greedy_search

from .lowering import _called_encoder, _one_buffer_lookup, arg_max
from .text import text_functions


class Signatures(tf.Module):
    """The signatures of a model, ready for `tf.saved_model.save`; see `to_tflite`.

    Args:
        model: A `zoo.Seq2Seq`.
        num_beams: Beams of `generate_beam`; None: no such signature.
        length_penalty: Its length penalty.
        text: A `TextGraph` for `translate`, `tokenize` and `detokenize`; None: no such signatures.
        limits: What `length_limits` gives, for `translate`.

    Attributes:
        functions: Name to concrete function, with dynamic batch and length.
    """

    def __init__(self, model, num_beams=None, length_penalty=0.6, text=None, limits=None):
        super().__init__()
        # Tracked here as raw variables: from a Keras model alone the converter can lose them.
        self.weights = [variable.value for variable in model.variables]
        spec = model.source_spec
        source = tf.TensorSpec(spec.shape(), spec.dtype, name="source")

        @tf.function
        def generate(source, max_length):
            tokens, lengths = greedy_search(model, source, max_length, choose=arg_max)
            return {"tokens": tokens, "length": lengths}

        @tf.function
        def generate_beam(source, max_length):
            tokens, lengths, scores = beam_search(
                model,
                source,
                max_length,
                num_beams=num_beams,
                num_hypotheses=num_beams,
                length_penalty=length_penalty,
            )
            return {"tokens": tokens, "length": lengths, "scores": scores}

        @tf.function
        def encode(source):
            return model.encode(source)

        @tf.function
        def decode_step(token, **state):
            logits, state = model.decode_step(token, state)
            return {"logits": logits, **state}

        self.generate, self.generate_beam = generate, generate_beam
        self.encode, self.decode_step = encode, decode_step
        max_length = tf.TensorSpec((), tf.int32, name="max_length")
        with _one_buffer_lookup(model), _called_encoder(model):
            encode = encode.get_concrete_function(source)
            state = {
                name: tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
                for name, tensor in encode.structured_outputs.items()
            }
            functions = {
                "generate": generate.get_concrete_function(source, max_length),
                "encode": encode,
                "decode_step": decode_step.get_concrete_function(
                    tf.TensorSpec((None,), tf.int32, name="token"), **state
                ),
            }
            if num_beams is not None:
                functions["generate_beam"] = generate_beam.get_concrete_function(source, max_length)
            if text is not None:
                functions |= text_functions(model, text, **limits)
        self.functions = functions
