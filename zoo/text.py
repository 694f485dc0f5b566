"""Text in and text out for a model: its tokenizer, length limits and search."""

import dataclasses
import json
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from seq2lite.export.runtime.container import MAX_LENGTH, TARGET_TOKENIZER_FILE, TOKENIZER_FILE
from seq2lite.export.runtime.host_decoding import check_beams
from seq2lite.export.runtime.runner import Runner
from seq2lite.export.runtime.tokenizer import Tokenizer, Tokenizers

from .checks import is_number, plain, require
from .engine import KerasEngine

SETTINGS_FILE = "text.json"


@dataclasses.dataclass(frozen=True)
class TextSettings:
    """Tokenizer, length limits and search of a model. See `Seq2Seq.attach_tokenizer`.

    Attributes:
        tokenizers: `Tokenizers`, of source and target.
        max_source_length: Maximum number of source tokens, including the end.
        max_target_length: Maximum number of generated tokens.
        num_beams: Beam size; 1 is greedy search.
        length_penalty: Exponent of the length penalty of beam search.
    """

    tokenizers: Tokenizers
    max_source_length: int
    max_target_length: int
    num_beams: int
    length_penalty: float

    @classmethod
    def of(
        cls,
        model: Any,
        tokenizer: Tokenizer | Sequence[Tokenizer] | Tokenizers,
        *,
        max_source_length: int = 128,
        max_target_length: int | None = None,
        num_beams: int = 4,
        length_penalty: float = 0.6,
    ) -> "TextSettings":
        """Check the arguments of `Seq2Seq.attach_tokenizer`, and return them."""
        tokenizers = check_tokenizer(model, tokenizer)
        limits = length_limits(max_source_length, max_target_length, model.max_positions)
        check_beams(num_beams, 1, length_penalty)
        num_beams, length_penalty = plain((num_beams, length_penalty))
        return cls(tokenizers, **limits, num_beams=num_beams, length_penalty=length_penalty)

    @property
    def limits(self) -> dict[str, int]:
        """The limits of lengths, by name."""
        return {name: getattr(self, name) for name in ("max_source_length", "max_target_length")}

    @property
    def search(self) -> dict:
        """The options of the search, by name."""
        return {name: getattr(self, name) for name in ("num_beams", "length_penalty")}

    def runner(self, model: Any) -> Runner:
        """Return the `Runner` of a model with these settings."""
        description = {
            "name": model.name,
            **self.limits,
            **self.tokenizers.vocabulary,
            "padding": model.source_spec.padding,
            "search": self.search,
        }
        return Runner(description, self.tokenizers, KerasEngine(model, **self.search))

    def save(self, folder: Path) -> None:
        """Write the settings into a folder."""
        for name, content in self.tokenizers.files.items():
            (folder / name).write_bytes(content)
        settings = {**self.limits, **self.search}
        (folder / SETTINGS_FILE).write_text(json.dumps(settings), "utf-8")

    @classmethod
    def load(cls, folder: Path, model: Any) -> "TextSettings | None":
        """Read the settings that `save` wrote, for a model; None if the folder contains none."""
        if not (folder / SETTINGS_FILE).exists():
            return None
        settings = json.loads((folder / SETTINGS_FILE).read_text("utf-8"))
        source = target = Tokenizer(folder / TOKENIZER_FILE, model.start_id)
        if (folder / TARGET_TOKENIZER_FILE).exists():
            source = Tokenizer(folder / TOKENIZER_FILE)
            target = Tokenizer(folder / TARGET_TOKENIZER_FILE, model.start_id)
        return cls.of(model, (source, target), **settings)


def check_tokenizer(model: Any, tokenizer: Any) -> Tokenizers:
    """Check the tokenizer of a model.

    Args:
        model: `zoo.Seq2Seq`.
        tokenizer: The `Tokenizer` of source and target, or a pair (source, target) of them.

    Returns:
        `Tokenizers`.

    Raises:
        ValueError: The vocabulary sizes or special ids are not those of the model.
    """
    if model.source_spec.features is not None:
        raise ValueError(
            "`model` must read token ids, because text becomes ids. "
            f"Received: a model with {model.source_spec}. Export it with export.to_tflite or "
            "export.static.convert"
        )
    tokenizers = Tokenizers.of(tokenizer)
    received = {
        **tokenizers.target.vocabulary,
        "source_vocabulary_size": tokenizers.source.vocabulary_size,
    }
    expected = {name: getattr(model, name) for name in received}
    if received != expected:
        arguments = "**tokenizer.vocabulary"
        if not tokenizers.are_shared:
            arguments = "**target.vocabulary, source_vocabulary_size=source.vocabulary_size"
        raise ValueError(
            "`tokenizer` must be the one that the model was built for, with "
            f"{_listed(expected)}. Received: {_listed(received)}. Pass the tokenizer of the "
            "training, opened with Tokenizer(…, start_id=model.start_id) if only start_id differs, "
            f"or build the model with {arguments}"
        )
    return tokenizers


def length_limits(
    max_source_length: int | None,
    max_target_length: int | None = None,
    max_positions: int | None = None,
) -> dict[str, int]:
    """Check the two length limits of a model.

    Args:
        max_source_length: int, maximum number of source tokens, including the end.
        max_target_length: int, maximum number of generated tokens. Default: `max_source_length`.
        max_positions: int, number of positions of the model. Default: no limit.

    Returns:
        dict of `max_source_length` and `max_target_length`, as ints.

    Raises:
        ValueError: A limit is below 2, above 65,536, or beyond the positions of the model.
    """
    limits: dict[str, Any] = {
        "max_source_length": max_source_length,
        "max_target_length": max_source_length if max_target_length is None else max_target_length,
    }
    for name, length in limits.items():
        is_valid = is_number(length, Integral) and length >= 2
        require(is_valid, "an integer of at least 2", **{name: length})
        require(length <= MAX_LENGTH, f"at most {MAX_LENGTH}", **{name: length})
        if max_positions is not None:
            # The start token of the target occupies a position.
            maximum = max_positions - (name == "max_target_length")
            expected = f"at most {maximum} for a model with max_positions={max_positions}"
            require(length <= maximum, expected, **{name: length})
    return plain(limits)


def _listed(values):
    return ", ".join(f"{name}={value}" for name, value in values.items())
