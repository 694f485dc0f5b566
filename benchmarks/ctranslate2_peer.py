"""Conversion of a zoo Transformer to CTranslate2: the peer of `bench_generate.py` and of tests."""

import ctranslate2
import numpy as np
from ctranslate2.specs import TransformerSpec
from ctranslate2.specs.common_spec import Activation
from ctranslate2.specs.transformer_spec import TransformerDecoderSpec, TransformerEncoderSpec
from keras import ops

from seq2lite.zoo.transformer.positions import sinusoidal_encoding

MAX_POSITIONS = 512
ACTIVATIONS = {"relu": Activation.RELU, "gelu": Activation.GELUTanh, "swiglu": Activation.SWISH}


def write_model(model, folder, quantization=None):
    """Write a `zoo.transformer` as a CTranslate2 model.

    Args:
        model: Keras model. Its decoder must have self-attention: CTranslate2 has no SSRU.
        folder: Output folder.
        quantization: None for float32 (default), or "int8".

    Raises:
        ValueError: The decoder has no self-attention.
    """
    spec = empty_spec(model)
    set_side(
        spec.encoder,
        spec.encoder.embeddings[0],
        model.source_embedding,
        model.source_positions,
        model.encoder_layers,
        model.encoder_bias,
    )
    set_side(
        spec.decoder,
        spec.decoder.embeddings,
        model.target_embedding,
        model.target_positions,
        model.decoder_layers,
        model.decoder_bias,
    )
    for layer_spec, layer in zip(spec.decoder.layer, model.decoder_layers, strict=True):
        cross = layer.cross_attention
        set_attention(
            layer_spec.attention,
            layer.cross_attention_norm,
            [cross.query, cross.key_value, cross.output_projection],
        )
    if model.norm_first:
        set_norm(spec.encoder.layer_norm, model.encoder_norm)
        set_norm(spec.decoder.layer_norm, model.decoder_norm)
    output = model.output_projection
    table = output.tied_to.embeddings if output.table is None else output.table
    spec.decoder.projection.weight, spec.decoder.projection.bias = array(table), array(output.bias)
    spec.register_source_vocabulary(names(model, model.source_vocabulary_size))
    spec.register_target_vocabulary(names(model, model.vocabulary_size))
    spec.config.layer_norm_epsilon = model.encoder_layers[0].feed_forward_norm.epsilon
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(folder))


def open_translator(folder, compute_type="float32"):
    """Open a model on one thread."""
    return ctranslate2.Translator(
        str(folder), compute_type=compute_type, inter_threads=1, intra_threads=1
    )


def names(model, vocabulary_size):
    """Return the token of each id: the id in digits, except for special ids."""
    special = {model.pad_id: "<pad>", 1: "<unk>", model.start_id: "<s>", model.end_id: "</s>"}
    return [special.get(i, str(i)) for i in range(vocabulary_size)]


def tokens(ids):
    """Return the tokens of ids. The only special id may be 3, the default `end_id`."""
    return ["</s>" if i == 3 else str(i) for i in ids]


def empty_spec(model):
    """Return a specification with the options of `model`, without weights."""
    options = model.get_config()
    if options["decoder"] != "attention":
        raise ValueError(
            f"`decoder` must be 'attention' in CTranslate2. Received: {options['decoder']!r}"
        )
    attention = model.encoder_layers[0].self_attention
    common = {
        "num_heads": attention.num_heads,
        "num_heads_kv": attention.num_key_heads,
        "pre_norm": model.norm_first,
        "activation": ACTIVATIONS[options["activation"]],
        "ffn_glu": options["activation"] == "swiglu",
        "rms_norm": options["norm"] == "rms",
        "relative_attention_bias": options["positions"] == "relative",
        "rotary_dim": attention.head_dim if options["positions"] == "rotary" else None,
        "rotary_interleave": False,
    }
    encoder = TransformerEncoderSpec(len(model.encoder_layers), **common)
    decoder = TransformerDecoderSpec(len(model.decoder_layers), **common)
    return TransformerSpec(encoder, decoder)


def set_side(spec, embedding_spec, embedding, positions, layers, relative_bias):
    """Set the weights that encoder and decoder have in common."""
    embedding_spec.weight = array(embedding.embeddings)
    # An encoder has this field with rotary positions too, but CTranslate2 then ignores it.
    if hasattr(spec, "position_encodings"):
        spec.position_encodings.encodings = (
            np.array(sinusoidal_encoding(np.arange(MAX_POSITIONS), embedding.output_dim))
            if positions is None
            else array(positions.embeddings)
        )
    for layer_spec, layer in zip(spec.layer, layers, strict=True):
        attention = layer.self_attention
        set_attention(
            layer_spec.self_attention,
            layer.self_attention_norm,
            [attention.query_key_value, attention.output_projection],
        )
        if relative_bias is not None:
            biases = layer_spec.self_attention
            biases.relative_attention_bias = array(relative_bias.table)
            biases.relative_attention_max_distance = np.int32(relative_bias.max_distance)
        set_norm(layer_spec.ffn.layer_norm, layer.feed_forward_norm)
        set_feed_forward(layer_spec.ffn, layer.feed_forward)


def set_feed_forward(spec, layer):
    inner = [spec.linear_0]
    if layer.activation == "swiglu":
        inner.append(spec.linear_0_noact)
    kernels = np.split(array(layer.inner.kernel), len(inner), axis=1)
    biases = np.split(array(layer.inner.bias), len(inner))
    for linear, kernel, bias in zip(inner, kernels, biases, strict=True):
        set_linear(linear, kernel, bias)
    set_linear(spec.linear_1, layer.outer.kernel, layer.outer.bias)


def set_attention(spec, norm, denses):
    set_norm(spec.layer_norm, norm)
    for linear, dense in zip(spec.linear, denses, strict=True):
        set_linear(linear, dense.kernel, dense.bias)


def set_linear(spec, kernel, bias):
    spec.weight, spec.bias = array(array(kernel).T), array(bias)


def set_norm(spec, norm):
    spec.gamma = array(norm.gamma)
    if hasattr(norm, "beta"):
        spec.beta = array(norm.beta)


def array(variable):
    return np.ascontiguousarray(ops.convert_to_numpy(variable))
