"""Checks of the arguments of every export function."""

import keras
import numpy as np

from seq2lite.zoo.contract import Seq2Seq

from .runtime.checks import require_positive
from .runtime.container import MAX_LENGTH
from .runtime.tokenizer import Tokenizer


def check_beams(num_beams, length_penalty):
    """Raises ValueError unless `generate_beam` can be made of them."""
    if num_beams is not None:
        require_positive(num_beams=num_beams)
    if not isinstance(length_penalty, (int, float)) or not np.isfinite(length_penalty):
        raise ValueError(f"`length_penalty` must be a finite number. Received: {length_penalty!r}")


def check_model(model):
    """Raises ValueError unless `model` answers the contract and its variables are TensorFlow's."""
    if not isinstance(model, Seq2Seq):
        raise ValueError(f"`model` must be a zoo.Seq2Seq. Received: {type(model).__name__}")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Exporting needs Keras on TensorFlow: save the model to a .keras file and load it with "
            f"KERAS_BACKEND=tensorflow. Received: backend={keras.backend.backend()!r}"
        )


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
