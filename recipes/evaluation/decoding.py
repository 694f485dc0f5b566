"""Decoding with a Keras model, and its scores."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from seq2lite.export.checks import check_beams
from seq2lite.export.runtime.text import pad, source_ids
from seq2lite.export.runtime.tokenizer import Tokenizer, Tokenizers
from seq2lite.zoo import Seq2Seq, beam_search
from seq2lite.zoo.engine import Compiled

from ..data.bucketing import round_up
from ..distributed.backend import JIT_COMPILE
from ..options import option


@dataclasses.dataclass(frozen=True)
class Search:
    """Search options; each field is a flag of every recipe. See `zoo.beam_search`."""

    num_beams: int = option(4, "beam size; 1 is greedy search")
    length_penalty: float = option(
        1.0, "exponent of the length penalty (Wu et al. 2016); higher values favor longer targets"
    )

    def __post_init__(self):
        check_beams(self.num_beams, self.length_penalty)


class Decoder:
    """Decode source texts with a model.

    Args:
        tokenizer: A `Tokenizer` for both sides, or a (source, target) pair.
        search: The `Search` options.
        max_lengths: Maximum source length in tokens, including the end id, and maximum target
            length. Longer sources are cut.
        batch_tokens: Maximum size of a batch: number of sources times beams times the longest
            source. Default: 16,384.

    Example:
        >>> from seq2lite.recipes.evaluation.decoding import Decoder, Search
        >>> decode = Decoder(tokenizer, Search(num_beams=2), (40, 10))
        >>> len(decode(model, ["Open File", "Close"]))
        2
    """

    def __init__(
        self,
        tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer] | Tokenizers,
        search: Search,
        max_lengths: tuple[int, int],
        batch_tokens: int = 16384,
    ):
        self.tokenizers = Tokenizers.of(tokenizer)
        self.search = search
        self.max_lengths = max_lengths
        self.batch_tokens = batch_tokens
        self._compiled: Compiled | None = None

    def __call__(self, model: Seq2Seq, sources: Sequence[str]) -> list[str]:
        """Return a target for each source text, in the same order; an empty one for blank text."""
        if self._compiled is None or self._compiled.model is not model:
            self._compiled = Compiled(model, self._best)
        rows = source_ids(self.tokenizers.source, sources, self.max_lengths[0])
        # Batches of similar lengths. The longest come first: the first batch takes the most memory.
        order = sorted((i for i, row in enumerate(rows) if row), key=lambda i: -len(rows[i]))
        texts = [""] * len(rows)
        while order:
            longest = len(rows[order[0]])
            size = max(1, self.batch_tokens // (self.search.num_beams * longest))
            batch, order = order[:size], order[size:]
            source = pad([rows[i] for i in batch], self.tokenizers.source.pad_id)
            if JIT_COMPILE:
                source = self._padded_to_few_shapes(source)
            tokens, lengths = map(np.array, self._compiled.predict_on_batch(source))
            found = [tokens[i, : lengths[i]] for i in range(len(batch))]
            for i, text in zip(batch, self.tokenizers.target.decode(found), strict=True):
                texts[i] = text
        return texts

    def _best(self, model, source):
        """Return the tokens of the best target of each source, and their number."""
        search = dataclasses.asdict(self.search)
        tokens, lengths, _ = beam_search(model, source, self.max_lengths[1], **search)
        return tokens[:, 0], lengths[:, 0]

    def _padded_to_few_shapes(self, source):
        """Pad a batch and repeat its last row, so that few shapes of a batch are compiled."""
        num_rows, length = source.shape
        more_rows = (1 << (num_rows - 1).bit_length()) - num_rows
        more_tokens = round_up(length, self.max_lengths[0]) - length
        pad_id = self.tokenizers.source.pad_id
        source = np.pad(source, ((0, 0), (0, more_tokens)), constant_values=pad_id)
        return np.pad(source, ((0, more_rows), (0, 0)), mode="edge")


@dataclasses.dataclass(frozen=True)
class Score:
    """A measure of a model's outputs that selects the best checkpoint of a training.

    Attributes:
        name: Name of the number that selects the checkpoint, such as `"chrF"`.
        measure: Function of outputs and references, two lists, to a dict of numbers by name.
        decode: The `Decoder`.
        pairs: Held-out (source, reference) pairs. Some of them are scored in each evaluation. A
            reference is a text, or anything else that `measure` accepts.
        mode: `"max"` if higher numbers are better, `"min"` if lower ones are. Default: `"max"`.

    Example:
        >>> from seq2lite.recipes.evaluation.decoding import Decoder, Score, Search
        >>> from seq2lite.recipes.evaluation.metrics import translation_scores
        >>> decode = Decoder(tokenizer, Search(), (40, 10))
        >>> score = Score("chrF", translation_scores, decode, held_out)
        >>> sorted(score(model, held_out[:2]))
        ['BLEU', 'chrF']
    """

    name: str
    measure: Callable[[Sequence, Sequence], dict[str, float]]
    decode: Decoder
    pairs: Sequence[tuple]
    mode: str = "max"

    def __call__(self, model: Seq2Seq, pairs: Sequence[tuple]) -> dict[str, float]:
        """Score a model on (source, reference) pairs."""
        sources, references = zip(*pairs, strict=True)
        return self.measure(self.decode(model, sources), references)
