"""Tokenizers: SentencePiece models learned from text, or made of given symbols."""

import io
import re
from collections.abc import Iterable

import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from seq2lite.export.runtime.tokenizer import Tokenizer

from .text_files import DataError

# Subwords that every vocabulary contains: padding, unknown, start and end; and each byte.
NUM_SPECIAL, NUM_BYTES = 4, 256
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
    model, texts = io.BytesIO(), list(texts)
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
        raise DataError(_vocabulary_error(str(error), vocabulary_size)) from error
    return Tokenizer(model.getvalue())


def _vocabulary_error(message, vocabulary_size):
    """Explain an error message of SentencePiece's trainer."""
    if maximum := re.search(r"set it to a value <= (\d+)", message):
        return (
            f"`vocabulary_size` must be at most {maximum[1]}: the training text contains no more "
            f"different subwords. Received: {vocabulary_size}. Try more text or a lower value"
        )
    required = re.search(r"required_chars\. \d+ vs (\d+)", message)
    if required or vocabulary_size < 1:
        minimum = required[1] if required else NUM_SPECIAL + NUM_BYTES + 1
        return (
            f"`vocabulary_size` must be at least {minimum}: {NUM_SPECIAL} special ids, {NUM_BYTES} "
            f"bytes and every character of the training text. Received: {vocabulary_size}"
        )
    return (
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
    sources = list(sources)
    letters = sorted({letter for text in sources for letter in text if not letter.isspace()})
    first_letters = sorted({_WORD_START + text[0] for text in sources})
    words = sorted({_WORD_START + word for text in targets for word in text.split()})
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
