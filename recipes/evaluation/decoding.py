"""Text from a model, by the search that ships, and what it is worth."""

import dataclasses

import keras
import numpy as np

from seq2lite.export.checks import check_beams
from seq2lite.export.runtime.batching import pad
from seq2lite.zoo import beam_search

from ..data.bucketing import BOUNDS
from ..distributed.processes import JIT_COMPILE
from ..options import option


@dataclasses.dataclass(frozen=True)
class Search:
    """How targets are found; each field is a flag of every recipe.

    See `zoo.beam_search`; one beam is greedy search.
    """

    num_beams: int = option(4, "beginnings that are followed; 1: greedy search")
    length_penalty: float = option(1.0, "Wu et al. 2016, equation 14; greater: longer targets")

    def __post_init__(self):
        check_beams(self.num_beams, self.length_penalty)


class Decoder:
    """The targets that a model finds for source text.

    Args:
        tokenizer: A `Tokenizer`.
        search: A `Search`.
        max_lengths: Most tokens of a source, the end among them, and of a target.
        batch_tokens: Most places of a batch: its sources times its beams times the longest source.

    Example:
        >>> from seq2lite.recipes.evaluation.decoding import Decoder, Search
        >>> decode = Decoder(tokenizer, Search(num_beams=2), (40, 10))
        >>> len(decode(model, ["Open File", "Close"]))
        2
    """

    def __init__(self, tokenizer, search, max_lengths, batch_tokens=16384):
        self.tokenizer = tokenizer
        self.search = search
        self.max_lengths = max_lengths
        self.batch_tokens = batch_tokens
        self._searcher = None

    def __call__(self, model, sources):
        """List of str to a list of str, by `model`, a `Seq2Seq`; sources that are too long are cut."""
        if self._searcher is None or self._searcher.model is not model:
            self._searcher = _Searcher(model, self.search, self.max_lengths[1])
        rows = [
            [*ids[: self.max_lengths[0] - 1], self.tokenizer.end_id]
            for ids in self.tokenizer.encode(list(sources))
        ]
        # Batches of like length, the longest first: the first one says how much memory it takes.
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        texts = [""] * len(rows)
        while order:
            length = len(rows[order[0]])
            size = max(1, self.batch_tokens // (self.search.num_beams * length))
            batch, order = order[:size], order[size:]
            source = pad([rows[i] for i in batch], self.tokenizer.pad_id)
            if JIT_COMPILE:
                source = self._of_few_shapes(source)
            tokens, lengths = self._searcher.predict_on_batch(source)
            found = [row[:n] for row, n in zip(np.array(tokens), np.array(lengths), strict=True)]
            found = found[: len(batch)]
            for i, text in zip(batch, self.tokenizer.decode(found), strict=True):
                texts[i] = text
        return texts

    def _of_few_shapes(self, source):
        """Longer, and of more rows, that the search need not be compiled for each batch."""
        bound = next((bound for bound in BOUNDS if bound >= source.shape[1]), self.max_lengths[0])
        length = max(source.shape[1], min(bound, self.max_lengths[0]))
        rows = 1 << (len(source) - 1).bit_length()
        more = ((0, 0), (0, length - source.shape[1]))
        source = np.pad(source, more, constant_values=self.tokenizer.pad_id)
        return np.pad(source, ((0, rows - len(source)), (0, 0)), mode="edge")


@dataclasses.dataclass(frozen=True)
class Score:
    """What outputs are worth, and which number of it chooses the best round of a training.

    Attributes:
        name: Of that number, such as `"chrF"`.
        measure: Takes outputs and references, two lists; gives a dict of numbers.
        decode: A `Decoder`.
        pairs: List of (source, reference), held out, some of which are scored in each round; a
            reference may be whatever `measure` takes.
        mode: `"max"` or `"min"`: which is better.

    Example:
        >>> from seq2lite.recipes.evaluation.decoding import Decoder, Score, Search
        >>> from seq2lite.recipes.evaluation.metrics import translation_scores
        >>> decode = Decoder(tokenizer, Search(), (40, 10))
        >>> score = Score("chrF", translation_scores, decode, held_out)
        >>> sorted(score(model, held_out[:2]))
        ['BLEU', 'chrF']
    """

    name: str
    measure: object
    decode: Decoder
    pairs: list
    mode: str = "max"

    def __call__(self, model, pairs):
        """A dict of numbers, of a model on pairs of (source, reference)."""
        sources, references = zip(*pairs, strict=True)
        return self.measure(self.decode(model, sources), references)


class _Searcher(keras.Model):
    """A search as a Keras model: so `predict_on_batch` compiles it as the backend does."""

    def __init__(self, model, search, max_length):
        super().__init__(name="searcher")
        self.model = model
        self.search = search
        self.max_length = max_length
        self.built = True
        # Batches differ in shape, and XLA would compile each.
        self.jit_compile = JIT_COMPILE

    def call(self, source):
        tokens, lengths, _ = beam_search(
            self.model, source, self.max_length, **dataclasses.asdict(self.search)
        )
        return tokens[:, 0], lengths[:, 0]
