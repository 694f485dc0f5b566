"""A zoo Transformer's weights as a CTranslate2 model: the peer of `bench_generate.py`."""

import ctranslate2
import numpy as np
from ctranslate2.specs import TransformerSpec
from keras import ops

from seq2lite.zoo.transformer import sinusoidal_encoding

MAX_POSITIONS = 512


def write_model(model, folder, quantization=None):
    """Writes `model`, a pre-norm `zoo.transformer` with tied embeddings, for CTranslate2.

    Args:
        model: The Keras model.
        folder: Where to write.
        quantization: None for float32, or "int8".
    """
    attention = model.encoder_layers[0].self_attention
    spec = TransformerSpec.from_config(
        (len(model.encoder_layers), len(model.decoder_layers)), attention.num_heads
    )
    embeddings = array(model.source_embedding.embeddings)
    positions = np.array(sinusoidal_encoding(np.arange(MAX_POSITIONS), model.model_dim))
    spec.encoder.embeddings[0].weight = embeddings
    spec.decoder.embeddings.weight = embeddings
    for side in (spec.encoder, spec.decoder):
        side.position_encodings.encodings = positions
    set_norm(spec.encoder.layer_norm, model.encoder_norm)
    set_norm(spec.decoder.layer_norm, model.decoder_norm)
    spec.decoder.projection.weight = embeddings
    spec.decoder.projection.bias = array(model.output_projection.bias)
    for layer_spec, layer in zip(spec.encoder.layer, model.encoder_layers, strict=True):
        set_self_attention_and_feed_forward(layer_spec, layer)
    for layer_spec, layer in zip(spec.decoder.layer, model.decoder_layers, strict=True):
        set_self_attention_and_feed_forward(layer_spec, layer)
        cross = layer.cross_attention
        set_attention(
            layer_spec.attention,
            layer.cross_attention_norm,
            [cross.query, cross.key_value, cross.output_projection],
        )
    names = [str(i) for i in range(model.vocabulary_size)]
    names[model.pad_id], names[model.start_id], names[model.end_id] = "<pad>", "<s>", "</s>"
    names[1] = "<unk>"
    spec.register_source_vocabulary(names)
    spec.register_target_vocabulary(names)
    spec.config.layer_norm_epsilon = model.encoder_norm.epsilon
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(folder))


def open_model(folder, compute_type):
    """A greedy search of ids on one thread: `(source ids, number of tokens)` to ids."""
    translator = ctranslate2.Translator(
        str(folder), compute_type=compute_type, inter_threads=1, intra_threads=1
    )

    def generate(source, max_length):
        names = [["</s>" if i == 3 else str(i) for i in row] for row in source]
        results = translator.translate_batch(
            names, beam_size=1, max_decoding_length=max_length, return_end_token=False
        )
        return [[int(name) for name in result.hypotheses[0]] for result in results]

    return generate


def set_self_attention_and_feed_forward(spec, layer):
    attention = layer.self_attention
    set_attention(
        spec.self_attention,
        layer.self_attention_norm,
        [attention.query_key_value, attention.output_projection],
    )
    set_norm(spec.ffn.layer_norm, layer.feed_forward_norm)
    set_linear(spec.ffn.linear_0, layer.feed_forward.inner)
    set_linear(spec.ffn.linear_1, layer.feed_forward.outer)


def set_attention(spec, norm, denses):
    set_norm(spec.layer_norm, norm)
    for linear, dense in zip(spec.linear, denses, strict=True):
        set_linear(linear, dense)


def set_linear(spec, dense):
    spec.weight, spec.bias = array(dense.kernel).T, array(dense.bias)


def set_norm(spec, norm):
    spec.gamma, spec.beta = array(norm.gamma), array(norm.beta)


def array(variable):
    return np.ascontiguousarray(ops.convert_to_numpy(variable))
