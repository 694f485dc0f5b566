"""The tokenizer: SentencePiece over cleaned text."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import sentencepiece

from .checks import is_number, quote, require
from .container import TARGET_TOKENIZER_FILE, TOKENIZER_FILE
from .unicode import clean


class Tokenizer:
    """Encode text as ids and decode ids to text, in training, export and on devices alike.

    Text is cleaned first: whitespace and byte order marks at its ends are stripped, and it is
    normalized to NFC. Otherwise decomposed Hangul, as in macOS file names, would be encoded byte by
    byte.

    Args:
        model: A serialized SentencePiece model (bytes), or the path of its file.
        start_id: Id that begins a target, such as `pad_id` in T5. Default: the model's `bos_id`.

    Attributes:
        model_bytes: The serialized SentencePiece model.
        vocabulary_size: Number of subwords.
        pad_id: Id of padding.
        end_id: Id that ends a sequence.

    Raises:
        ValueError: `model` is not a SentencePiece model, or `start_id` is not one of its ids.
        FileNotFoundError: The file does not exist.
    """

    def __init__(self, model: bytes | str | Path, start_id: int | None = None):
        self.model_bytes = model if isinstance(model, bytes) else Path(model).read_bytes()
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            if not self.model_bytes:
                raise RuntimeError("empty")
            self._processor.LoadFromSerializedProto(self.model_bytes)
        except RuntimeError as error:
            received = f"{len(model)} bytes" if isinstance(model, bytes) else str(model)
            raise ValueError(
                f"The tokenizer must be a SentencePiece model. Received: {received}"
            ) from error
        self.vocabulary_size: int = self._processor.vocab_size()
        self.pad_id: int = self._processor.pad_id()
        self.end_id: int = self._processor.eos_id()
        if start_id is None:
            start_id = self._processor.bos_id()
        else:
            is_id = is_number(start_id, Integral) and 0 <= start_id < self.vocabulary_size
            require(is_id, f"an int in [0, {self.vocabulary_size})", start_id=start_id)
        self._start_id = int(start_id)

    @property
    def start_id(self) -> int:
        """Id that begins a target.

        Raises:
            ValueError: The SentencePiece model has no `bos_id`, and no `start_id` was given.
        """
        if self._start_id < 0:
            raise ValueError(
                "`start_id` must be given for a SentencePiece model without a begin id. Received: "
                "bos_id=-1. Open it with Tokenizer(model, start_id=…), for example with its "
                f"pad_id={self.pad_id}, as in T5"
            )
        return self._start_id

    def encode(self, texts: Iterable[str]) -> list[list[int]]:
        """Encode texts as ids, without start and end."""
        return self._processor.encode([clean(text) for text in texts])

    def n_best(self, text: str, count: int) -> list[tuple[list[int], float]]:
        """Return the `count` most probable segmentations of a text, as (ids, log-probability)."""
        best = self._processor.nbest_encode(clean(text), nbest_size=count, out_type=int)
        return [(ids, sum(map(self._scores.__getitem__, ids))) for ids in best]

    @functools.cached_property
    def _scores(self):
        """Log-probability of every subword; single look-ups would take longer than the search."""
        return self._processor.get_score(list(range(self.vocabulary_size)))

    def decode(self, ids: Iterable[Iterable[int]]) -> list[str]:
        """Decode rows of ids to texts. Control ids produce no text."""
        return self._processor.decode([[int(i) for i in row] for row in ids])

    def subwords(self, ids: Iterable[int]) -> list[str]:
        """Return the subword of each id, such as "▁Open"."""
        return [self._processor.id_to_piece(int(i)) for i in ids]

    @property
    def vocabulary(self) -> dict[str, int]:
        """The arguments of a model builder that this tokenizer determines."""
        return {
            "vocabulary_size": self.vocabulary_size,
            "pad_id": self.pad_id,
            "start_id": self.start_id,
            "end_id": self.end_id,
        }


@dataclass(frozen=True)
class Tokenizers:
    """The tokenizers of a model's source and target, which may be the same.

    Args:
        source: Tokenizer of the source.
        target: Tokenizer of the target.

    Raises:
        ValueError: The two disagree on `pad_id` or `end_id`.
    """

    source: Tokenizer
    target: Tokenizer

    def __post_init__(self):
        for name in ("pad_id", "end_id"):
            ids = getattr(self.source, name), getattr(self.target, name)
            if ids[0] != ids[1]:
                raise ValueError(
                    f"Source and target tokenizer must have the same {name}. "
                    f"Received: {ids[0]} and {ids[1]}"
                )

    @classmethod
    def of(cls, tokenizer: "Tokenizer | Sequence[Tokenizer] | Tokenizers") -> "Tokenizers":
        """Wrap one tokenizer for both sides, or a pair (source, target).

        Raises:
            ValueError: `tokenizer` is neither.
        """
        if isinstance(tokenizer, Tokenizers):
            return tokenizer
        pair = tokenizer if isinstance(tokenizer, (tuple, list)) else (tokenizer, tokenizer)
        if len(pair) != 2 or not all(isinstance(side, Tokenizer) for side in pair):
            raise ValueError(
                "`tokenizer` must be an export.Tokenizer, such as "
                "export.Tokenizer('tokenizer.model'), or a pair (source, target) of them. "
                f"Received: {quote(tokenizer, 80)}"
            )
        return cls(*pair)

    @property
    def are_shared(self) -> bool:
        """Whether source and target have the same tokenizer."""
        return self.source.model_bytes == self.target.model_bytes

    @property
    def one_or_both(self) -> Tokenizer | tuple[Tokenizer, Tokenizer]:
        """The tokenizer that both sides share, or the pair (source, target)."""
        return self.target if self.are_shared else (self.source, self.target)

    @property
    def files(self) -> dict[str, bytes]:
        """The serialized models, by their names in a bundle."""
        files = {TOKENIZER_FILE: self.source.model_bytes}
        return (
            files if self.are_shared else {**files, TARGET_TOKENIZER_FILE: self.target.model_bytes}
        )

    @property
    def vocabulary(self) -> dict[str, int]:
        """The arguments of a model builder that the tokenizers determine."""
        if self.are_shared:
            return self.target.vocabulary
        return {**self.target.vocabulary, "source_vocabulary_size": self.source.vocabulary_size}
