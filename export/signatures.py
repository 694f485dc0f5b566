"""The signatures of an exported model, as TensorFlow functions over the zoo's contract."""

from contextlib import contextmanager

import keras
import tensorflow as tf

from ..zoo.beam import beam_search
from ..zoo.contract import Seq2Seq, first_length
from ..zoo.embedding import TokenEmbedding
from ..zoo.search import greedy_search
from .container import MAX_LENGTH
from .tokenizer import Tokenizer


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
        ids = tf.TensorSpec((None, None), tf.int32, name="source")

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
            encode = encode.get_concrete_function(ids)
            state = {
                name: tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
                for name, tensor in encode.structured_outputs.items()
            }
            functions = {
                "generate": generate.get_concrete_function(ids, max_length),
                "encode": encode,
                "decode_step": decode_step.get_concrete_function(
                    tf.TensorSpec((None,), tf.int32, name="token"), **state
                ),
            }
            if num_beams is not None:
                functions["generate_beam"] = generate_beam.get_concrete_function(ids, max_length)
            if text is not None:
                functions |= text_functions(model, text, **limits)
        self.functions = functions


def text_functions(model, graph, max_source_length, max_target_length):
    """`translate`, `tokenize` and `detokenize`, of one text each, as concrete functions."""

    @tf.function
    def tokenize(text):
        ids, length = call(graph.tokenize, text)
        return {"ids": ids, "length": length}

    @tf.function
    def detokenize(ids):
        text, length = call(graph.detokenize, ids, tf.size(ids))
        return {"text": text, "length": length}

    @tf.function
    def translate(text):
        ids, length = call(graph.tokenize, text)
        ids = ids[: tf.minimum(length, max_source_length - 1)]
        # One sentence, but of sizes that no tracer knows, so that its loop is `generate`'s.
        source = tf.reshape(tf.concat([ids, [model.end_id]], axis=0), [first_length(ids), -1])
        max_length = max_target_length * first_length(ids)
        tokens, lengths = greedy_search(model, source, max_length, choose=arg_max)
        says = tf.cast(tf.logical_not(graph.is_blank(text)), tf.int32)
        translated, length = call(graph.detokenize, tokens[0], lengths[0] * says)
        return {"text": translated, "length": length}

    ids = tf.TensorSpec((None,), tf.int32, name="ids")
    text = tf.TensorSpec((None,), tf.uint8, name="text")
    return {
        "translate": translate.get_concrete_function(text),
        "tokenize": tokenize.get_concrete_function(text),
        "detokenize": detokenize.get_concrete_function(ids),
    }


def call(function, *arguments):
    """`function(*arguments)` in a graph of its own, which the converted file holds once.

    TFLite has no call. Its nearest is an IF whose other branch is never taken; equal graphs become
    one in `without_repetition`. A runtime prepares such a graph anew at each call, so that it pays
    for what is called once a sentence, not for a step (measured: 1.4 times the time of a step).
    """
    outputs = []

    def called():
        outputs.append(function(*arguments))
        return outputs[0]

    def never():
        some = tf.shape(arguments[0])[0]  # a size that no tracer knows
        return tf.nest.map_structure(
            lambda x: tf.zeros([size or some for size in x.shape], x.dtype), outputs[0]
        )

    return tf.cond(tf.greater_equal(tf.shape(arguments[0])[0], 0), called, never)


def arg_max(logits):
    """`search.likeliest` as the one op that TFLite has for it."""
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


@tf.function(experimental_implements="embedding_matmul")
def _embedding_lookup(table, ids):
    """What the converter turns into EMBEDDING_LOOKUP, table first, ids of rank 1.

    That op reads the int8 table which the tied output projection multiplies with. A GATHER would
    need a second copy of it.
    """
    return tf.gather(table, ids)


def save(module, folder):
    """Saves a module with its `functions` as signatures.

    Raises OSError where TensorFlow has an error of its own.
    """
    try:
        tf.saved_model.save(module, str(folder), module.functions)
    except tf.errors.OpError as error:
        message = error.message.splitlines()[0]
        raise OSError(f"the SavedModel cannot be written to {folder}: {message}") from error


@contextmanager
def _one_buffer_lookup(model):
    """While this holds, `model` traces its embeddings as `_embedding_lookup`."""
    embeddings = [layer for layer in model._flatten_layers() if isinstance(layer, TokenEmbedding)]
    for layer in embeddings:
        layer.gather = lambda table, ids: _embedding_lookup(tf.convert_to_tensor(table), ids)
    try:
        yield
    finally:
        for layer in embeddings:
            del layer.gather


@contextmanager
def _called_encoder(model):
    """While this holds, `model.encode` is traced as a call of one graph."""
    encode = model.encode
    model.encode = lambda source: call(encode, source)
    try:
        yield
    finally:
        del model.encode


def check_model(model):
    """Raises ValueError unless `model` answers the contract and its variables are TensorFlow's."""
    if not isinstance(model, Seq2Seq):
        raise ValueError(f"`model` must be a zoo.Seq2Seq. Received: {type(model).__name__}")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Exporting needs Keras on TensorFlow: save the model to a .keras file and load it with "
            f"KERAS_BACKEND=tensorflow. Received: backend={keras.backend.backend()!r}"
        )


def in_float32(model):
    """The model itself, or one with its weights that computes in float32.

    TFLite's products are of float32 (or of integers), whatever precision a model was trained in.
    """
    return model if model.compute_dtype == "float32" else float32_twin(model)


def float32_twin(model):
    """Another model with the weights of this one, that computes in float32."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        twin = type(model).from_config(model.get_config())
    finally:
        keras.config.set_dtype_policy(policy)
    twin.set_weights(model.get_weights())
    return twin


def check_tokenizer(model, tokenizer):
    """Raises ValueError unless `tokenizer` is one, of the model's ids, for both its sides."""
    if not isinstance(tokenizer, Tokenizer):
        raise ValueError(
            f"`tokenizer` must be an export.Tokenizer. Received: {type(tokenizer).__name__}"
        )
    expected = {name: getattr(model, name) for name in tokenizer.vocabulary}
    if tokenizer.vocabulary != expected:
        raise ValueError(
            "`tokenizer` must be the one that the model was built for, of "
            f"{expected}. Received: {tokenizer.vocabulary}"
        )
    if model.source_vocabulary_size != model.vocabulary_size:
        raise ValueError(
            "`model` must have one vocabulary for source and target, as a bundle's tokenizer has. "
            f"Received: source_vocabulary_size={model.source_vocabulary_size}, "
            f"vocabulary_size={model.vocabulary_size}"
        )


def length_limits(max_source_length, max_target_length=None, max_positions=None):
    """The two limits of a bundle, by name.

    Raises ValueError unless a token and its end fit in each, and each in a model's positions.
    """
    limits = {
        "max_source_length": max_source_length,
        "max_target_length": max_source_length if max_target_length is None else max_target_length,
    }
    for name, length in limits.items():
        if not isinstance(length, int) or isinstance(length, bool) or length < 2:
            raise ValueError(f"`{name}` must be an integer of 2 or more. Received: {length!r}")
        if length > MAX_LENGTH:
            raise ValueError(f"`{name}` must be at most {MAX_LENGTH:,}. Received: {length:,}")
        # A target begins with the start, which takes a position too.
        most = None if max_positions is None else max_positions - (name == "max_target_length")
        if most is not None and length > most:
            raise ValueError(
                f"`{name}` must be at most {most}, with the model's max_positions={max_positions}. "
                f"Received: {length}"
            )
    return limits
