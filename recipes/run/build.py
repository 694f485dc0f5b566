"""The model of a run: built with random weights or with those of its base, and partly frozen."""

import keras
import numpy as np

from seq2lite import zoo
from seq2lite.export.runtime.tokenizer import Tokenizer, Tokenizers
from seq2lite.zoo.presets import PRESETS

from ..data.extension import added_subwords
from ..distributed.precision import precision
from .base import BaseModel
from .config import RecipeConfig
from .fine_tuning import EMBEDDINGS
from .model import builder_options

# Parts of a model: the beginnings of the names of their layers.
PARTS = {
    "embeddings": EMBEDDINGS,
    "encoder": ("encoder", "source_positions"),
    "decoder": ("decoder", "target_positions", "bridge", "attention", "read_out"),
}


def build_model(
    config: RecipeConfig, tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer]
) -> zoo.Seq2Seq:
    """Build the model of a run with its initial weights.

    The weights are random, or those of `init_from`. A subword that the base does not have starts with
    the mean of the rows of the subwords that the base splits it into.

    Args:
        config: The recipe's Config.
        tokenizer: A `Tokenizer`, or one for each side, for the vocabulary.

    Raises:
        ValueError: The base has another architecture, or `freeze` names a part that does not exist.
    """
    options, sides = config.model, Tokenizers.of(tokenizer)
    architecture = builder_options(options.preset, options.architecture)
    if not sides.are_shared:  # nor can the embeddings of both sides be one table
        architecture.setdefault(
            "embeddings", PRESETS[options.preset].get("embeddings", "shared_target")
        )
    keras.utils.set_random_seed(config.training.seed)
    with precision(config.training.precision):
        model = zoo.build(
            options.preset, dropout=options.dropout, **architecture, **sides.vocabulary
        )
    if base := config.base:
        _load_weights(model, base, sides)
    freeze(model, config.fine_tuning.freeze)
    return model


def _load_weights(model: zoo.Seq2Seq, base: BaseModel, sides: Tokenizers) -> None:
    """Set the weights to those of the base, with rows for new subwords."""
    trained = keras.saving.load_model(base.path, compile=False)
    values = {weight.path: keras.ops.convert_to_numpy(weight) for weight in trained.weights}
    new_rows = added_subwords(base.tokenizers.target, sides.target)
    source_rows = added_subwords(base.tokenizers.source, sides.source)
    if {weight.path for weight in model.weights} != values.keys():
        raise ValueError(
            f"The model must have the architecture of {base.path}. Received: other weights. Give "
            "options by `Config.of`, which takes the architecture from `init_from`"
        )
    output = model.output_projection
    rows = {weight.path: new_rows for weight in (output.table, output.bias) if weight is not None}
    rows[model.target_embedding.embeddings.path] = new_rows
    if model.source_embedding is not model.target_embedding:
        rows[model.source_embedding.embeddings.path] = source_rows
    for weight in model.weights:
        value = values[weight.path]
        if parts := rows.get(weight.path):
            means = [value[ids].mean(axis=0, dtype=np.float64) for ids in parts]
            value = np.concatenate([value, np.array(means, value.dtype)])
        weight.assign(value)


def freeze(model: keras.Model, parts: tuple[str, ...]) -> None:
    """Exclude parts of a model from training.

    Args:
        model: A `zoo.Seq2Seq`.
        parts: Keys of `PARTS`, or names of layers, or their beginnings up to a `_`, such as
            `encoder_0`.

    Raises:
        ValueError: The model has no such part, or no weight would be trained.
    """
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    for part in parts:
        starts = PARTS.get(part, (part,))
        found = [n for n in layers if any(n == s or n.startswith(f"{s}_") for s in starts)]
        if not found:
            raise ValueError(
                f"`freeze` must name parts of the model: {', '.join(PARTS)}, or its layers "
                f"{', '.join(layers)}. Received: {part}"
            )
        for name in found:
            layers[name].trainable = False
    if parts and not model.trainable_weights:
        raise ValueError(
            f"`freeze` must leave weights to train. Received: {' '.join(parts)}, which are all"
        )
