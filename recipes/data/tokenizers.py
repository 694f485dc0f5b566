"""Tokenizers, learned from text or made of given symbols: SentencePiece models."""

import io
import re

import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from seq2lite.export.runtime.tokenizer import Tokenizer

from .text_files import DataError

SPECIAL, BYTES = 4, 256  # pieces that every tokenizer has


def learn_tokenizer(texts, vocabulary_size):
    """Learns a joint unigram model with byte fallback: every text comes back as it was.

    But for U+2581, SentencePiece's own mark of a space, which comes back as a space.

    Unigram: Kudo 2018, https://arxiv.org/abs/1804.10959.

    Args:
        texts: Iterable of str, of both languages.
        vocabulary_size: Number of pieces, the special ids and 256 bytes among them.

    Returns:
        A `Tokenizer`. pad 0, unknown 1, start 2, end 3.

    Raises:
        DataError: The text is too small for so many pieces, or has too many characters for so few.
    """
    model, texts = io.BytesIO(), list(texts)
    # A longer text than so many bytes, 4,192 by default, would be passed over.
    longest = max((len(text.encode()) for text in texts), default=0)
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
            max_sentence_length=max(4192, longest),
            pad_id=0,
            unk_id=1,
            bos_id=2,
            eos_id=3,
            num_threads=2,
            minloglevel=2,
        )
    except RuntimeError as error:
        said = str(error).rpartition("] ")[2]
        if vocabulary_size < 1 or (found := re.search(r"required_chars\. \d+ vs (\d+)", said)):
            least = int(found[1]) if vocabulary_size > 0 else SPECIAL + BYTES + 1
            raise DataError(
                f"`vocabulary_size` must be at least {least}, for {SPECIAL} special ids, {BYTES} bytes "
                f"and every character of the training text. Received: {vocabulary_size}"
            ) from error
        raise DataError(
            "The training text must hold enough different pieces for "
            f"vocabulary_size={vocabulary_size}. Received: {said}"
        ) from error
    return Tokenizer(model.getvalue())


def symbol_tokenizer(sources, targets):
    """A tokenizer of given symbols: sources are spelled in letters, targets in words such as phones.

    Nothing is learned: each letter of the sources (once more for where it begins a text) and each word
    of the targets is a piece, and bytes are there for all else.

    Args:
        sources: Iterable of str, such as `"cat"`.
        targets: Iterable of str, symbols with spaces between them, such as `"K AE1 T"`.

    Returns:
        A `Tokenizer`. pad 0, unknown 1, start 2, end 3.

    Example:
        >>> from seq2lite.recipes.data.tokenizers import symbol_tokenizer
        >>> tokenizer = symbol_tokenizer(["cat", "at"], ["K AE1 T", "AE1 T"])
        >>> ids = tokenizer.encode(["cat", "K AE1 T"])
        >>> [len(row) for row in ids], tokenizer.decode(ids)
        ([3, 3], ['cat', 'K AE1 T'])
    """
    sources, space = list(sources), "\N{LOWER ONE EIGHTH BLOCK}"
    letters = sorted({letter for text in sources for letter in text if not letter.isspace()})
    first = sorted({space + text[0] for text in sources})
    words = sorted({space + word for text in targets for word in text.split()})
    proto = ModelProto.FromString(learn_tokenizer(["a"] * 9, SPECIAL + BYTES + 2).model_bytes)
    kept = [p for p in proto.pieces if p.type != ModelProto.SentencePiece.NORMAL]
    del proto.pieces[:]
    proto.pieces.extend(kept)
    for piece in dict.fromkeys([space, *letters, *first, *words]):
        # All alike, so that the fewest pieces win: a phone is never spelled in letters.
        proto.pieces.add(piece=piece, score=-1.0)
    proto.trainer_spec.vocab_size = len(proto.pieces)
    return Tokenizer(proto.SerializeToString())
