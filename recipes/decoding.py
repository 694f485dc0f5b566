"""Text from a model, by the search that ships: for the scores of a training and of a report."""

import dataclasses

import keras
import numpy as np

from ..export.runtime import pad
from ..zoo import beam_search
from .command import option


@dataclasses.dataclass(frozen=True)
class Search:
    """How targets are found; each field is a flag of a recipe.

    See `zoo.beam_search`; one beam is greedy search.
    """

    num_beams: int = option(4, "beginnings that are followed; 1: greedy search")
    length_penalty: float = option(0.6, "Wu et al. 2016, equation 14; greater: longer targets")


class Decoder:
    """A model's targets for many sources, in one function for all of its weights to come.

    Args:
        model: A `zoo.Seq2Seq`.
        tokenizer: Its `Tokenizer`.
        search: A `Search`.
        max_lengths: Most tokens of a source, the end among them, and of a target.
        batch_tokens: Most places of a batch: its sources times its beams times the longest source.

    Example:
        >>> from seq2lite.recipes.decoding import Decoder, Search
        >>> decode = Decoder(model, tokenizer, Search(num_beams=2), (40, 10))
        >>> len(decode(["Open File", "Close"]))
        2
    """

    def __init__(self, model, tokenizer, search, max_lengths, batch_tokens=8192):
        self.tokenizer = tokenizer
        self.max_source_length = max_lengths[0]
        self.batch_tokens = batch_tokens
        self.num_beams = search.num_beams
        self._searcher = _Searcher(model, search, max_lengths[1])

    def __call__(self, sources):
        """List of str to a list of str; sources that are too long are cut."""
        rows = [
            [*ids[: self.max_source_length - 1], self.tokenizer.end_id]
            for ids in self.tokenizer.encode(list(sources))
        ]
        # Batches of like length, the longest first: the first one says how much memory it takes.
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        texts = [""] * len(rows)
        while order:
            size = max(1, self.batch_tokens // (self.num_beams * len(rows[order[0]])))
            batch, order = order[:size], order[size:]
            source = pad([rows[i] for i in batch], self.tokenizer.pad_id)
            tokens, lengths = self._searcher.predict_on_batch(source)
            found = [row[:n] for row, n in zip(np.array(tokens), np.array(lengths), strict=True)]
            for i, text in zip(batch, self.tokenizer.decode(found), strict=True):
                texts[i] = text
        return texts


class _Searcher(keras.Model):
    """A search as a Keras model: so `predict_on_batch` compiles it as the backend does."""

    def __init__(self, model, search, max_length):
        super().__init__(name="searcher")
        self.model = model
        self.search = search
        self.max_length = max_length
        self.built = True

    def call(self, source):
        tokens, lengths, _ = beam_search(
            self.model, source, self.max_length, **dataclasses.asdict(self.search)
        )
        return tokens[:, 0], lengths[:, 0]
