"""The host's tokenizer: SentencePiece over NFC text."""

import functools
import unicodedata
from pathlib import Path

import sentencepiece


class Tokenizer:
    """Text to ids and back, the same in recipes, in export and on the host that runs a bundle.

    Text is brought to NFC first: Hangul in NFD (as macOS file names have it) would fall to bytes.

    Args:
        model: A SentencePiece model: its bytes, or the path of its file.

    Raises:
        ValueError: `model` is no SentencePiece model.
        FileNotFoundError: There is no such file.
    """

    def __init__(self, model):
        self.model_bytes = model if isinstance(model, bytes) else Path(model).read_bytes()
        what = "bytes" if isinstance(model, bytes) else str(model)
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            if not self.model_bytes:
                raise RuntimeError("empty")
            self._processor.LoadFromSerializedProto(self.model_bytes)
        except RuntimeError as error:
            raise ValueError(
                f"The tokenizer must be a SentencePiece model. Received: {what}"
            ) from error
        self.vocabulary_size = self._processor.vocab_size()
        self.pad_id = self._processor.pad_id()
        self.start_id = self._processor.bos_id()
        self.end_id = self._processor.eos_id()

    def encode(self, texts):
        """List of str to a list of lists of ids, without start and end."""
        return self._processor.encode([unicodedata.normalize("NFC", text) for text in texts])

    def likeliest(self, text, count):
        """The likeliest segmentations of a text: a list of (ids, log-probability), at most `count`."""
        text = unicodedata.normalize("NFC", text)
        best = self._processor.nbest_encode(text, nbest_size=count, out_type=int)
        return [(ids, sum(map(self._scores.__getitem__, ids))) for ids in best]

    @functools.cached_property
    def _scores(self):
        """Log-probability of every piece; asked for one by one they take longer than the search."""
        return self._processor.get_score(list(range(self.vocabulary_size)))

    def decode(self, ids):
        """List of lists of ids to a list of str."""
        return self._processor.decode([[int(i) for i in row] for row in ids])

    @property
    def vocabulary(self):
        """What a model and its tokenizer must agree on, as arguments of a builder."""
        return {
            "vocabulary_size": self.vocabulary_size,
            "pad_id": self.pad_id,
            "start_id": self.start_id,
            "end_id": self.end_id,
        }


def is_unicode(text):
    """Whether a str can be written as UTF-8: a half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
