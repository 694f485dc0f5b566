"""The signatures of an exported model with dynamic batch and length."""

from functools import partial

import tensorflow as tf

from seq2lite.zoo.lowering import lowered
from seq2lite.zoo.search.beam import beam_search
from seq2lite.zoo.search.greedy import greedy_search

from .lowering import DYNAMIC, arg_max, call, run_step
from .text import text_functions


class Signatures(tf.Module):
    """The signatures of a model, ready for `tf.saved_model.save`; see `to_tflite`.

    Args:
        model: A `zoo.Seq2Seq`.
        num_beams: Beam size of `generate_beam` and of the text signatures. With 1 these are greedy,
            and there is no `generate_beam`.
        length_penalty: Length penalty of beam search.
        text: A `TextGraph` for the text signatures; None for no such signatures.
        limits: dict of `max_source_length`, `max_target_length` and `max_text_bytes`, for the text
            signatures.
        attention: Whether `decode_step` also returns `attention (batch, source_length)`.

    Attributes:
        functions: Name to concrete function, with dynamic batch and length.
    """

    def __init__(
        self, model, num_beams=1, length_penalty=0.6, text=None, limits=None, attention=False
    ):
        super().__init__()
        # Tracked as raw variables: the converter can lose those of a Keras model.
        self.weights = [variable.value for variable in model.variables]
        spec = model.source_spec
        source = tf.TensorSpec(spec.shape(), spec.dtype, name="source")
        greedy = partial(greedy_search, model, choose=arg_max)
        beam = partial(
            beam_search,
            model,
            num_beams=num_beams,
            num_hypotheses=num_beams,
            length_penalty=length_penalty,
        )

        @tf.function(autograph=False)
        def generate(source, max_length):
            tokens, lengths = greedy(source, max_length)
            return {"tokens": tokens, "length": lengths}

        @tf.function(autograph=False)
        def generate_beam(source, max_length):
            tokens, lengths, scores = beam(source, max_length)
            return {"tokens": tokens, "length": lengths, "scores": scores}

        @tf.function(autograph=False)
        def encode(source):
            return call(model.encode, source)

        @tf.function(autograph=False)
        def decode_step(token, **state):
            outputs, state = run_step(model, token, state, attention)
            return {**outputs, **state}

        max_length = tf.TensorSpec((), tf.int32, name="max_length")
        with lowered(DYNAMIC):
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
            if num_beams > 1:
                functions["generate_beam"] = generate_beam.get_concrete_function(source, max_length)
            if text is not None:
                search = beam if num_beams > 1 else greedy
                functions |= text_functions(model, text, search, num_beams, **limits)
        self.functions = functions
