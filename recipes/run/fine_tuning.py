"""Options of a run that starts from a trained model."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from seq2lite.export.runtime.unicode import clean

from ..options import option
from .base import BaseModel
from .model import ModelOptions, builder_options

# Layers with a row for each subword.
EMBEDDINGS = ("source_embedding", "target_embedding")
_EMBEDDED = ("embeddings", *EMBEDDINGS)  # their names in `freeze`


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """Options of a run that starts from a trained model; each field is a flag of every recipe."""

    init_from: str = option(
        "",
        "trained model to start from: the folder of a run, or a .keras file; it determines the "
        "architecture and the tokenizer, and the defaults of --dropout and of the lengths",
    )
    extend_vocabulary: int = option(
        0, "maximum number of subwords to add to its vocabulary, learned from --train"
    )
    tags: tuple[str, ...] = option(
        (), "texts to add to the vocabulary as single subwords, such as <ko>; default: none"
    )
    freeze: tuple[str, ...] = option(
        (),
        "parts of the model that are not trained: embeddings, encoder, decoder, output, or names "
        "of layers, or their beginnings up to a _; default: none",
    )

    def __post_init__(self):
        if self.extend_vocabulary < 0:
            raise ValueError(
                f"`extend_vocabulary` must be at least 0. Received: {self.extend_vocabulary}"
            )
        for name in ("extend_vocabulary", "freeze"):
            if getattr(self, name) and not self.init_from:
                raise ValueError(
                    f"`{name}` must be given with `init_from`, the trained model that it changes. "
                    f"Received: {name}={getattr(self, name)!r}"
                )
        # `--freeze encoder,embeddings` is the same as `--freeze encoder embeddings`.
        parts = tuple(part for item in self.freeze for part in item.split(",") if part)
        object.__setattr__(self, "freeze", parts)
        is_extended = self.extend_vocabulary or self.tags
        for part in parts:
            if is_extended and any(f"{n}_".startswith(f"{part}_") for n in _EMBEDDED):
                raise ValueError(
                    f"`freeze` must not contain the embeddings with `extend_vocabulary` or `tags`, "
                    f"whose new rows must be trained. Received: {part}. Freeze encoder or decoder"
                )
        tags = tuple(dict.fromkeys(map(clean, self.tags)))  # as tokenizers read text
        object.__setattr__(self, "tags", tags)
        for tag in tags:
            if not tag or any(map(str.isspace, tag)):
                raise ValueError(f"`tags` must be texts without a space. Received: {tag!r}")


def base_options(
    base: BaseModel, given: Mapping[str, Any], known: Mapping[str, Any], recipe: str
) -> dict:
    """Return the options of a run that its base determines, or sets the defaults of.

    Args:
        base: The `BaseModel`.
        given: The options that the user has given, by name.
        known: All options of the recipe, by name.
        recipe: Name of the recipe. Another recipe than that of the base has other languages.

    Raises:
        ValueError: A given option contradicts the base.
    """
    for name in ("vocabulary_size", "separate_vocabularies", "tokenizer"):
        if given.get(name):
            raise ValueError(
                f"`{name}` must not be given with `init_from`, whose tokenizer is kept. Received: "
                f"{name}={given[name]!r}. Use extend_vocabulary to add subwords"
            )
    model = ModelOptions.of_model(base.family, base.config)
    if given.get("preset", model.preset) != model.preset:
        raise ValueError(
            f"`preset` must be {model.preset}, that of {base.path}, or be omitted. "
            f"Received: {given['preset']}"
        )
    for name, value in builder_options(model.preset, given.get("architecture", ())).items():
        if model.options[name] != value:
            raise ValueError(
                f"`architecture` must not change {base.path}, which has "
                f"{name}={model.options[name]}. Received: {name}={value}"
            )
    options = {"preset": model.preset, "dropout": model.dropout, **given}
    options["architecture"] = model.architecture
    if base.max_lengths:
        source, target = base.max_lengths
        lengths = {"max_source_length": source, "max_target_length": target}
        lengths["max_length"] = max(source, target)
        options = {n: v for n, v in lengths.items() if n in known} | options
    is_same = base.record.get("recipe") == recipe
    languages = tuple(base.record.get("languages", ())) if is_same else ()
    return {"languages": languages} | options if languages else options
