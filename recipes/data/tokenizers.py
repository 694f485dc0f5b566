"""Tokenizers: SentencePiece models learned from text, made of given symbols, or of the user."""

import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from seq2lite.export.runtime.tokenizer import Tokenizer, Tokenizers
from seq2lite.export.runtime.unicode import clean
from seq2lite.export.signatures.sentencepiece_tables import TextTables

from .extension import extend
from .pairs import Pairs
from .text_files import DataError

if TYPE_CHECKING:  # a real import would be a circle
    from ..run.config import RecipeConfig

# Subwords that every vocabulary contains: padding, unknown, start and end; and each byte.
NUM_SPECIAL, NUM_BYTES = 4, 256
CHARACTERS_PER_SUBWORD = 64  # of the text, for an automatic vocabulary size
_WORD_START = "\N{LOWER ONE EIGHTH BLOCK}"  # SentencePiece's symbol for a space


def learn_tokenizer(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """Learn a unigram model with byte fallback (Kudo 2018, https://arxiv.org/abs/1804.10959).

    Source and target share the vocabulary. Detokenizing restores every text exactly, except for
    the character U+2581, SentencePiece's symbol for a space, which becomes a space.

    Args:
        texts: The sources and targets of the training data.
        vocabulary_size: Number of subwords, including 4 special ids and 256 bytes.

    Returns:
        A `Tokenizer` with the ids 0 for padding, 1 for unknown, 2 for start and 3 for end.

    Raises:
        DataError: The text is too small for the vocabulary, or contains more characters than it.

    Example:
        >>> from seq2lite.recipes.data.tokenizers import learn_tokenizer
        >>> tokenizer = learn_tokenizer(["open the file", "close the file"], 272)
        >>> tokenizer.decode(tokenizer.encode(["the 3 files"]))
        ['the 3 files']
    """
    model, texts = io.BytesIO(), [clean(text) for text in texts]
    # SentencePiece ignores texts of more bytes than its limit, 4,192 by default.
    max_bytes = max((len(text.encode()) for text in texts), default=0)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocabulary_size,
            byte_fallback=True,
            character_coverage=0.9995,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            max_sentence_length=max(4192, max_bytes),
            pad_id=0,
            unk_id=1,
            bos_id=2,
            eos_id=3,
            num_threads=2,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _vocabulary_error(str(error), vocabulary_size) from error
    return Tokenizer(model.getvalue())


class VocabularyError(DataError):
    """The vocabulary size does not suit the text.

    Attributes:
        maximum: Largest size that suits the text, if it is too large; otherwise None.
    """

    def __init__(self, message: str, maximum: int | None = None):
        super().__init__(message)
        self.maximum = maximum


def _vocabulary_error(message, vocabulary_size):
    """Return the error that explains a message of SentencePiece's trainer."""
    if maximum := re.search(r"set it to a value <= (\d+)", message):
        return VocabularyError(
            f"`vocabulary_size` must be at most {maximum[1]}: the training text contains no more "
            f"different subwords. Received: {vocabulary_size}. Try more text or a lower value",
            int(maximum[1]),
        )
    required = re.search(r"required_chars\. \d+ vs (\d+)", message)
    if required or vocabulary_size < 1:
        minimum = required[1] if required else NUM_SPECIAL + NUM_BYTES + 1
        return VocabularyError(
            f"`vocabulary_size` must be at least {minimum}: {NUM_SPECIAL} special ids, {NUM_BYTES} "
            f"bytes and every character of the training text. Received: {vocabulary_size}"
        )
    return VocabularyError(
        f"The training text must suffice for vocabulary_size={vocabulary_size}. Received: {message}"
    )


def symbol_tokenizer(sources: Iterable[str], targets: Iterable[str]) -> Tokenizer:
    """Make a tokenizer whose symbols are the letters of the sources and the words of the targets.

    Each letter of the sources is a subword, and another one where it begins a text; each word of
    the targets, such as a phone, is a subword. All other text is encoded in bytes.

    Args:
        sources: Texts, such as `"cat"`.
        targets: Texts with a space between symbols, such as `"K AE1 T"`.

    Returns:
        A `Tokenizer` with the ids 0 for padding, 1 for unknown, 2 for start and 3 for end.

    Example:
        >>> from seq2lite.recipes.data.tokenizers import symbol_tokenizer
        >>> tokenizer = symbol_tokenizer(["cat", "at"], ["K AE1 T", "AE1 T"])
        >>> ids = tokenizer.encode(["cat", "K AE1 T"])
        >>> [len(row) for row in ids], tokenizer.decode(ids)
        ([3, 3], ['cat', 'K AE1 T'])
    """
    sources = [source for source in map(clean, sources) if source]
    letters = sorted({letter for text in sources for letter in text if not letter.isspace()})
    first_letters = sorted({_WORD_START + text[0] for text in sources})
    words = sorted({_WORD_START + word for text in targets for word in clean(text).split()})
    # A model with special ids and bytes, whose learned subwords are replaced by the symbols.
    smallest = learn_tokenizer(["a"] * 9, NUM_SPECIAL + NUM_BYTES + 2)
    proto = ModelProto.FromString(smallest.model_bytes)
    kept = [p for p in proto.pieces if p.type != ModelProto.SentencePiece.NORMAL]
    del proto.pieces[:]
    proto.pieces.extend(kept)
    for piece in dict.fromkeys([_WORD_START, *letters, *first_letters, *words]):
        # With equal scores the fewest subwords win, so a phone is never spelled in letters.
        proto.pieces.add(piece=piece, score=-1.0)
    proto.trainer_spec.vocab_size = len(proto.pieces)
    return Tokenizer(proto.SerializeToString())


def make_tokenizer(
    config: "RecipeConfig", train: Pairs, symbols: Tokenizer | None = None
) -> Tokenizer | tuple[Tokenizer, Tokenizer]:
    """Make the tokenizers of a recipe: those of its base, of the user, or learned from its pairs.

    Args:
        config: The recipe's Config. Its data are `TokenizerOptions`.
        train: Pairs to train on.
        symbols: Tokenizer of the symbols of the pairs, which is used instead of a learned one.
            Default: one is learned, as the `VocabularyOptions` of the recipe state.

    Returns:
        A `Tokenizer`, or one for each side.

    Example:
        >>> from seq2lite.recipes import translate
        >>> from seq2lite.recipes.data.tokenizers import make_tokenizer
        >>> source, target = make_tokenizer(
        ...     translate.Config.of(separate_vocabularies=True), held_out
        ... )
        >>> target.vocabulary_size < 4000
        True
    """
    options: Any = config.data
    if config.base:
        tokenizer = config.base.tokenizer
    elif options.tokenizer:
        tokenizer = open_tokenizers(options.tokenizer)
    elif symbols:
        tokenizer = symbols
    elif options.separate_vocabularies:
        sources, targets = zip(*train, strict=True)
        tokenizer = _learn(sources, options), _learn(targets, options)
    else:
        tokenizer = _learn([text for pair in train for text in pair], options)
    return extend(tokenizer, train, config, symbols)


def _learn(texts, options):
    """Learn a tokenizer of the size that the options state, or of one that suits the texts."""
    if options.vocabulary_size:
        return learn_tokenizer(texts, options.vocabulary_size)
    size = fitting_size(texts, options.automatic_vocabulary_size)
    try:
        return learn_tokenizer(texts, size)
    except VocabularyError as error:
        if error.maximum is None:
            raise
        return learn_tokenizer(texts, error.maximum)


def fitting_size(texts: Sequence[str], maximum: int) -> int:
    """Return a vocabulary size for texts: fewer subwords than `maximum` if the texts are few.

    Rare subwords are not learned. A subword stands for CHARACTERS_PER_SUBWORD characters of the
    texts or more, except that all characters are subwords.

    Example:
        >>> from seq2lite.recipes.data.tokenizers import fitting_size
        >>> fitting_size(["open the file"] * 9, 4000), fitting_size(["open the file"] * 9000, 4000)
        (274, 1828)
    """
    num_characters = sum(map(len, texts))
    smallest = NUM_SPECIAL + NUM_BYTES + len(set().union(*texts)) + 4
    return min(maximum, max(smallest, num_characters // CHARACTERS_PER_SUBWORD))


def open_tokenizers(paths: Sequence[str]) -> Tokenizer | tuple[Tokenizer, Tokenizer]:
    """Open SentencePiece models of the user: one for both sides, or one for each.

    Of the ids for padding, start and end, those that a model lacks are added after its subwords, so
    that all other ids stay.

    Args:
        paths: Path of a model, or of one for the source and one for the target.

    Raises:
        DataError: A file is missing or not a SentencePiece model, or the two models have different
            ids for padding or for the end.

    Example:
        >>> from seq2lite.recipes.data.tokenizers import open_tokenizers
        >>> path = folder / "my.model"
        >>> _ = path.write_bytes(tokenizer.model_bytes)
        >>> open_tokenizers([path]).vocabulary == tokenizer.vocabulary
        True
    """
    sides = [_open_tokenizer(path) for path in paths]
    if len(sides) == 1:
        return sides[0]
    try:
        Tokenizers(sides[0], sides[1])
    except ValueError as error:
        raise DataError(
            f"{error}, in {' and '.join(paths)}. Train both with --pad_id=0 --unk_id=1 --bos_id=2 "
            "--eos_id=3, or give one model for both sides"
        ) from error
    return sides[0], sides[1]


def _open_tokenizer(path):
    """Open a SentencePiece model, and add the special ids that it lacks."""
    if not Path(path).is_file():
        raise DataError(f"The tokenizer must be a file. Received: {path}")
    tokenizer = Tokenizer(path)
    processor = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model_bytes)
    proto = ModelProto.FromString(tokenizer.model_bytes)
    trainer, kinds = proto.trainer_spec, ModelProto.SentencePiece
    for name in ("pad", "bos", "eos"):
        if getattr(processor, f"{name}_id")() < 0:
            text = getattr(trainer, f"{name}_piece")
            piece = next((p for p in proto.pieces if p.piece == text), None)
            piece = piece or proto.pieces.add(piece=text)  # perhaps one that the user defined
            piece.type = kinds.CONTROL
            setattr(trainer, f"{name}_id", [p.piece for p in proto.pieces].index(text))
    trainer.vocab_size = len(proto.pieces)
    return Tokenizer(proto.SerializeToString())


def can_sample(tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer]) -> bool:
    """Return whether segmentations can be sampled: both sides are unigram models.

    Example:
        >>> from seq2lite.recipes.data.tokenizers import can_sample
        >>> can_sample(tokenizer)
        True
    """
    models = {*Tokenizers.of(tokenizer).files.values()}
    trainers = [ModelProto.FromString(model).trainer_spec for model in models]
    return all(trainer.model_type == trainer.UNIGRAM for trainer in trainers)


def text_obstacle(tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer]) -> str:
    """Return why the tokenizers cannot be part of a file as TFLite ops; empty if they can be.

    Example:
        >>> from seq2lite.recipes.data.tokenizers import text_obstacle
        >>> text_obstacle(tokenizer)
        ''
    """
    try:
        for side in {*Tokenizers.of(tokenizer).files.values()}:
            TextTables(side)
    except ValueError as error:
        return str(error)
    return ""
