"""The runner of bundles: text in, text out."""

import functools
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from .checks import checked_texts, level_of_caller, quote, require, require_positive
from .container import MAX_LENGTH
from .engine import Engine
from .host_sampling import check_sampling
from .sentences import by_sentence
from .text import batches_by_length, decode, pad, source_ids
from .tokenizer import Tokenizer, Tokenizers

GREEDY_BATCH, BEAM_BATCH = 32, 8  # texts of a call by default
NO_TARGET = -1e8  # scores below it mark missing targets: fewer exist than the beam has places


class Runner:
    """Generate target text for source text. `load` opens a bundle as one.

    Args:
        description: The content of bundle.json: lengths, special ids, languages, quantization.
        tokenizers: The `Tokenizer` of source and target, a pair (source, target) of them, or
            `Tokenizers`.
        engine: The searches over ids: an object with the methods `greedy`, `beam` and `host_search` of
            a `FileEngine`.

    A `Runner` can be called from several threads. Those of `load` then take turns: for parallel work,
    open several, or raise `num_threads`. They can be pickled and sent to another process.
    """

    def __init__(
        self,
        description: dict,
        tokenizers: Tokenizer | Sequence[Tokenizer] | Tokenizers,
        engine: Engine,
    ):
        self.description = description
        self.tokenizers = Tokenizers.of(tokenizers)
        self.engine = engine

    @property
    def search(self) -> dict:
        """The search of `generate`: `num_beams`, 1 for greedy search, and `length_penalty`."""
        return self.description["search"]

    def generate(
        self,
        texts: Sequence[str],
        max_length: int | None = None,
        batch_size: int | None = None,
        *,
        num_beams: int | None = None,
        length_penalty: float | None = None,
        split: bool = False,
    ) -> list[str]:
        """Generate a target for each source text.

        Blank text gives "". A source longer than `max_source_length` tokens, as bundle.json states
        it, is cut, with a UserWarning.

        Args:
            texts: Source texts.
            max_length: Maximum number of tokens of a target. Default: `max_target_length` in
                bundle.json.
            batch_size: Number of texts per call of the file. Default: 32, or 8 in beam search.
            num_beams: Beam size; 1 is greedy search. Default: that of `search`, the search of the
                bundle. With another one than these two, the search runs on the host.
            length_penalty: Exponent of the length penalty of beam search. Default: that of `search`.
            split: Whether to split the texts into sentences and join their targets, with the
                whitespace of the text, as long texts need. Needs the extra `split`.

        Returns:
            The targets, in the order of `texts`.

        Raises:
            ValueError: `texts` is not a list of str, or a number is out of its range.
        """
        if split:
            of_sentences = functools.partial(
                self.generate,
                max_length=max_length,
                batch_size=batch_size,
                num_beams=num_beams,
                length_penalty=length_penalty,
            )
            language, *_ = self.description.get("languages") or [None]
            return by_sentence(of_sentences, checked_texts(texts), language)
        num_beams = self.search["num_beams"] if num_beams is None else num_beams
        require_positive(num_beams=num_beams)
        if num_beams > 1:
            best = self._hypotheses(texts, max_length, batch_size, num_beams, length_penalty, 1)
            return [targets[0][0] for targets in best]
        texts = checked_texts(texts)
        targets = [""] * len(texts)
        batch_size = GREEDY_BATCH if batch_size is None else batch_size
        for rows, source, limit in self._batches(texts, max_length, batch_size):
            found = decode(self.tokenizers.target, *self.engine.greedy(source, limit))
            for row, target in zip(rows, found, strict=True):
                targets[row] = target
        return targets

    def generate_beam(
        self,
        texts: Sequence[str],
        max_length: int | None = None,
        batch_size: int | None = None,
        *,
        num_beams: int | None = None,
        length_penalty: float | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Generate the most probable targets of each source text by beam search.

        Args:
            texts: Source texts, as in `generate`.
            max_length: Maximum number of tokens of a target, as in `generate`.
            batch_size: Number of texts per call of the file. Default: 8.
            num_beams: Beam size, as in `generate`. Default: that of `search`, which must be a beam
                search.
            length_penalty: As in `generate`.

        Returns:
            For each text a list of (target, score), the best first, at most as many as the beam size.
            No target appears twice: hypotheses of the same text are merged, with the best score. A
            score is the log-probability divided by the length penalty. Blank text has the only
            target "", with score 0.

        Raises:
            ValueError: As in `generate`, or the search of the bundle is greedy and `num_beams` is not
                given.
        """
        if num_beams is None:
            num_beams = self.search["num_beams"]
            expected = "given, for example num_beams=4, because the bundle's search is greedy"
            require(num_beams > 1, expected, num_beams=None)
        require_positive(num_beams=num_beams)
        return self._hypotheses(texts, max_length, batch_size, num_beams, length_penalty)

    def _hypotheses(self, texts, max_length, batch_size, num_beams, length_penalty, count=None):
        """Return the best targets of each text with their scores, `count` before equal ones merge."""
        texts = checked_texts(texts)
        targets = [[("", 0.0)] for _ in texts]
        search, batch = self._beam_search(num_beams, length_penalty)
        batch_size = BEAM_BATCH if batch_size is None else batch_size
        for rows, source, limit in self._batches(texts, max_length, batch or batch_size):
            for row, tokens, lengths, scores in zip(rows, *search(source, limit), strict=True):
                kept = np.flatnonzero(scores > NO_TARGET)[:count]
                found = decode(self.tokenizers.target, tokens[kept], lengths[kept])
                best: dict[str, float] = {}
                for text, score in zip(found, map(float, scores[kept]), strict=True):
                    best.setdefault(text, score)
                targets[row] = list(best.items())
        return targets

    def _beam_search(self, num_beams, length_penalty):
        """Return a beam search as a function of ids, in the file where it has it; and its batch."""
        if length_penalty is None:
            length_penalty = self.search["length_penalty"]
        options = {"num_beams": num_beams, "length_penalty": length_penalty}
        if options == self.search:
            return self.engine.beam, None
        search, batch = self.engine.host_search()
        return functools.partial(search.beam, num_hypotheses=num_beams, **options), batch

    def sample(
        self,
        texts: Sequence[str],
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        max_length: int | None = None,
        batch_size: int = 32,
    ) -> list[str]:
        """Sample a target for each source text, with the search on the host.

        Args:
            texts: Source texts, as in `generate`. Repeat a text for several samples of it.
            temperature: Divisor of the logits. Values below 1 favor probable tokens.
            top_k: Number of most probable tokens to sample from. Default: all.
            top_p: Sample from the smallest set of most probable tokens, after `top_k`, whose
                probabilities sum to at least this number. Default: all.
            seed: Seed of the random numbers. The sample of a text depends on the seed and on its
                index in `texts`, not on the batch size. Default: a new seed for each call.
            max_length: Maximum number of tokens of a target, as in `generate`.
            batch_size: Number of texts per call of the file.

        Returns:
            The targets, in the order of `texts`.

        Raises:
            ValueError: An argument is out of its range.
        """
        texts = checked_texts(texts)
        check_sampling(temperature, top_k, top_p, seed)
        targets, draws = [""] * len(texts), None
        search, batch = self.engine.host_search()
        for rows, source, limit in self._batches(texts, max_length, batch or batch_size):
            if draws is None:
                draws = np.random.default_rng(seed).random((len(texts), limit), np.float32)
            found = search.sample(
                source, limit, temperature=temperature, top_k=top_k, top_p=top_p, draws=draws[rows]
            )
            for row, target in zip(rows, decode(self.tokenizers.target, *found), strict=True):
                targets[row] = target
        return targets

    def source_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids that the model reads for each text; an empty list for blank text."""
        return source_ids(self.tokenizers.source, texts, self.description["max_source_length"])

    def _batches(self, texts, max_length, batch_size) -> Iterator:
        """Yield indices into `texts`, their source ids, and the maximum number of tokens."""
        limit = self.description["max_target_length"] if max_length is None else max_length
        require_positive(max_length=limit, batch_size=batch_size)
        require(limit <= MAX_LENGTH, f"at most {MAX_LENGTH:,}", max_length=limit)
        sources = self.source_ids(texts)
        self._warn_of_cut_sources(texts, sources)
        padding = self.description.get("padding", self.tokenizers.source.pad_id)
        for rows in batches_by_length(sources, batch_size):
            yield rows, pad([sources[row] for row in rows], padding), limit

    def _warn_of_cut_sources(self, texts, sources):
        limit = self.description["max_source_length"]
        for text in (t for t, ids in zip(texts, sources, strict=True) if len(ids) == limit):
            length = len(self.tokenizers.source.encode([text])[0])
            if length >= limit:
                warnings.warn(
                    f"a text of {length} tokens is cut to {limit - 1}, the maximum length of this "
                    f"model: {quote(text)}. To generate it by sentence, use `split=True` or --split",
                    stacklevel=level_of_caller(),
                )
