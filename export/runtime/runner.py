"""The runner of bundles: text in, text out."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .checks import checked_texts, level_of_caller, quote, require, require_positive
from .constraints import Constraints, takes_constraints
from .container import MAX_LENGTH
from .engine import Engine
from .host_decoding import check_beams, check_sampling
from .scores import TargetScores
from .sentences import by_sentence
from .text import batches_by_length, decode, pad, prefix_ids, source_ids, stream_text
from .tokenizer import Tokenizer, Tokenizers
from .unicode import clean

GREEDY_BATCH, BEAM_BATCH = 32, 8  # texts of a call by default
NO_TARGET = -1e8  # scores below it mark missing targets: fewer exist than the beam has places
BY_SENTENCE = ". To generate it by sentence, use `split=True` or --split"


class Runner(TargetScores):
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

    @takes_constraints
    def generate(
        self,
        texts: Sequence[str],
        max_length: int | None = None,
        batch_size: int | None = None,
        *,
        num_beams: int | None = None,
        length_penalty: float | None = None,
        split: bool = False,
        prefix: str | Sequence[str] | None = None,
        **constraints: Any,
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
                whitespace between them, as long texts need. Needs the extra `split`.
            prefix: Text that all targets begin with, or a list of texts, one for each source. Default:
                none.
            **constraints: `min_length`, `no_repeat_ngram`, `repetition_penalty` and `banned_tokens`
                (ids), as in `Constraints`. With any of these or a `prefix`, the search runs on the
                host.

        Returns:
            The targets, in the order of `texts`.

        Raises:
            ValueError: `texts` is not a list of str, or a number is out of its range.
        """
        num_beams = self.search["num_beams"] if num_beams is None else num_beams
        options = max_length, batch_size, num_beams, length_penalty, prefix, constraints

        def best(texts, advice=""):
            targets = [""] * len(texts)
            for row, tokens, lengths, _ in self._search(texts, *options, advice):
                targets[row] = decode(self.tokenizers.target, tokens[:1], lengths[:1])[0]
            return targets

        if not split:
            return best(checked_texts(texts), BY_SENTENCE)
        require(prefix is None, "None with split=True", prefix=prefix)
        language, *_ = self.description.get("languages") or [None]
        return by_sentence(best, checked_texts(texts), language)

    @takes_constraints
    def generate_beam(
        self,
        texts: Sequence[str],
        max_length: int | None = None,
        batch_size: int | None = None,
        *,
        num_beams: int | None = None,
        length_penalty: float | None = None,
        prefix: str | Sequence[str] | None = None,
        **constraints: Any,
    ) -> list[list[tuple[str, float]]]:
        """Generate the most probable targets of each source text by beam search.

        Args:
            texts: Source texts, as in `generate`.
            max_length: Maximum number of tokens of a target, as in `generate`.
            batch_size: Number of texts per call of the file. Default: 8.
            num_beams: Beam size, as in `generate`. Default: that of `search`, which must be a beam
                search.
            length_penalty: As in `generate`.
            prefix: As in `generate`.
            **constraints: As in `generate`.

        Returns:
            For each text a list of (target, score), the best first, at most as many as the beam size.
            No target appears twice: of hypotheses whose texts differ at most in the whitespace at
            their ends, the best remains. A score is the log-probability divided by the length
            penalty. Blank text has the only target "", with score 0. A list is empty if constraints
            leave no target, as a small `no_repeat_ngram` can.

        Raises:
            ValueError: As in `generate`, or the search of the bundle is greedy and `num_beams` is not
                given.
        """
        if num_beams is None:
            num_beams = self.search["num_beams"]
            expected = "given, for example num_beams=4, because the bundle's search is greedy"
            require(num_beams > 1, expected, num_beams=None)
        options = num_beams, length_penalty, prefix, constraints
        targets = [[("", 0.0)] for _ in checked_texts(texts)]
        for row, tokens, lengths, scores in self._search(texts, max_length, batch_size, *options):
            kept = scores > NO_TARGET
            found = decode(self.tokenizers.target, tokens[kept], lengths[kept])
            best: dict[str, tuple[str, float]] = {}
            for text, score in zip(found, map(float, scores[kept]), strict=True):
                best.setdefault(clean(text), (text, score))
            targets[row] = list(best.values())
        return targets

    def _search(
        self,
        texts,
        max_length,
        batch_size,
        num_beams,
        length_penalty,
        prefix,
        constraints,
        advice="",
    ) -> Iterator[tuple]:
        """Run a search in the file where it has it, or on the host. `advice` is that of `batches`.

        Yields:
            The index of a text, tokens `(n, length)` of its targets, and lengths and scores `(n,)`. In
            greedy search n is 1 and the score is 0.
        """
        if length_penalty is None:
            length_penalty = self.search["length_penalty"]
        check_beams(num_beams, num_beams, length_penalty)
        control = self._control(texts, max_length, prefix, constraints)
        if batch_size is None:
            batch_size = GREEDY_BATCH if num_beams == 1 else BEAM_BATCH
        options = {"num_beams": num_beams, "length_penalty": length_penalty}
        host, is_another = None, any(self.search[name] != x for name, x in options.items())
        if control or (num_beams > 1 and is_another):
            host = self.engine.host_search()
            batch_size = host.batch or batch_size
            options["num_hypotheses"] = num_beams
        for rows, source, limit in self.batches(texts, max_length, batch_size, advice):
            given = control(rows) if control else {}
            if num_beams == 1:
                greedy = host.greedy if host else self.engine.greedy
                tokens, lengths = greedy(source, limit, **given)
                found = tokens[:, None], lengths[:, None], np.zeros((len(rows), 1))
                yield from zip(rows, *found, strict=True)
            elif host:
                yield from zip(rows, *host.beam(source, limit, **options, **given), strict=True)
            else:
                yield from zip(rows, *self.engine.beam(source, limit), strict=True)

    def _control(self, texts, max_length, prefix, constraints) -> Callable | None:
        """Check the control of a search; return its options for rows of texts, None without any."""
        limit, checked = self._limit(max_length), Constraints(**constraints)
        target = self.tokenizers.target
        checked.check(limit, target.vocabulary_size, target.end_id)
        if prefix is None:
            return (lambda rows: constraints) if checked else None
        ids = prefix_ids(target, prefix, len(texts), limit)
        return lambda rows: {**constraints, "prefix": ids[rows]}

    @takes_constraints
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
        prefix: str | Sequence[str] | None = None,
        **constraints: Any,
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
            prefix: As in `generate`.
            **constraints: As in `generate`.

        Returns:
            The targets, in the order of `texts`.

        Raises:
            ValueError: An argument is out of its range.
        """
        texts = checked_texts(texts)
        check_sampling(temperature, top_k, top_p, seed)
        control = self._control(texts, max_length, prefix, constraints)
        targets, draws = [""] * len(texts), None
        search = self.engine.host_search()
        for rows, source, limit in self.batches(texts, max_length, search.batch or batch_size):
            if draws is None:
                draws = np.random.default_rng(seed).random((len(texts), limit), np.float32)
            options: dict = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
            given = control(rows) if control else {}
            found = search.sample(source, limit, **options, draws=draws[rows], **given)
            for row, target in zip(rows, decode(self.tokenizers.target, *found), strict=True):
                targets[row] = target
        return targets

    @takes_constraints
    def stream(
        self,
        text: str,
        max_length: int | None = None,
        *,
        prefix: str | None = None,
        **constraints: Any,
    ) -> Iterator[str]:
        """Return an iterator over the parts of a target, while greedy search generates it.

        A part is text that later tokens cannot change: one or more subwords. Bytes are held back
        until they complete a character. The joined parts are the result of `generate` with
        `num_beams=1`. Blank text has no parts.

        Args:
            text: Source text.
            max_length: Maximum number of tokens of the target, as in `generate`.
            prefix: Text that the target begins with. Default: none.
            **constraints: As in `generate`.

        Raises:
            ValueError: As in `generate`.

        Example:
            >>> from seq2lite import export
            >>> runner = export.load(bundle)
            >>> "".join(runner.stream("Open File")) == runner.generate(["Open File"], num_beams=1)[0]
            True
        """
        require(isinstance(text, str), "a text", text=text)
        control = self._control(checked_texts([text]), max_length, prefix, constraints)
        search = self.engine.host_search()
        for _, source, limit in self.batches([text], max_length, 1):
            tokens = search.stream(source, limit, **(control([0]) if control else {}))
            return stream_text(self.tokenizers.target, tokens)
        return iter(())

    def source_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids that the model reads for each text; an empty list for blank text."""
        return source_ids(self.tokenizers.source, texts, self.description["max_source_length"])

    def batches(
        self, texts: Sequence[str], max_length: int | None, batch_size: int, advice: str = ""
    ) -> Iterator[tuple]:
        """Yield indices into `texts`, their source ids, and the maximum number of tokens.

        `advice` ends the warning of a text that is cut.
        """
        limit = self._limit(max_length)
        require_positive(batch_size=batch_size)
        sources = self.source_ids(texts)
        self._warn_of_cut_sources(texts, sources, advice)
        padding = self.description.get("padding", self.tokenizers.source.pad_id)
        for rows in batches_by_length(sources, batch_size):
            yield rows, pad([sources[row] for row in rows], padding), limit

    def _limit(self, max_length):
        """Return the maximum number of tokens of a target."""
        limit = self.description["max_target_length"] if max_length is None else max_length
        require_positive(max_length=limit)
        require(limit <= MAX_LENGTH, f"at most {MAX_LENGTH:,}", max_length=limit)
        return limit

    def _warn_of_cut_sources(self, texts, sources, advice):
        limit = self.description["max_source_length"]
        for text in (t for t, ids in zip(texts, sources, strict=True) if len(ids) == limit):
            length = len(self.tokenizers.source.encode([text])[0])
            if length >= limit:
                warnings.warn(
                    f"a text of {length} tokens is cut to {limit - 1}, the maximum length of this "
                    f"model: {quote(text)}{advice}",
                    stacklevel=level_of_caller(),
                )
