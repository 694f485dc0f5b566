"""Runs a bundle: ai-edge-litert, numpy and sentencepiece, neither TensorFlow nor Keras."""

import warnings

import numpy as np

from .batching import pad
from .checks import checked_texts, require_positive
from .container import MAX_LENGTH, MODEL_FILE, TOKENIZER_FILE, BundleError, read_container
from .host_search import check_sampling
from .interpreter import interpreter_search, open_interpreter
from .model_file import host_search, search_of
from .tokenizer import Tokenizer

IMPOSSIBLE = -1e8  # a beam's score where there are fewer targets than beams


class Runner:
    """Text in, text out, over a model of ids: a bundle's file, or Keras. `load` makes the first.

    Args:
        description: What bundle.json says: lengths, special ids, languages, quantization.
        tokenizer: A `Tokenizer`.
        generate_ids: Takes ids `(batch, source_length)` int32 and the most tokens to generate,
            gives tokens `(batch, length)` and lengths `(batch,)`.
        beam_ids: As `generate_ids`, but gives tokens `(batch, num_beams, length)`, lengths and scores
            `(batch, num_beams)`; None where there is no beam search.
        open_search: Gives a `HostSearch`, for `sample`, and the sentences that it takes at a time (None:
            any); None where nothing can be sampled.
    """

    def __init__(self, description, tokenizer, generate_ids, beam_ids=None, open_search=None):
        self.description = description
        self.tokenizer = tokenizer
        self.generate_ids = generate_ids
        self.beam_ids = beam_ids
        self.open_search = open_search

    def generate(self, texts, max_length=None, batch_size=32):
        """Generates a target for each source text: greedy search, in the file.

        Text that is empty, or only spaces, gives "". Text longer than the model was trained for
        (`max_source_length` tokens in bundle.json) is cut there, with a UserWarning that names it.

        Args:
            texts: List of str.
            max_length: Most tokens to generate for a text. Default: the bundle's
                `max_target_length`.
            batch_size: Texts run at a time, of like length.

        Returns:
            List of str, in the order of `texts`.

        Raises:
            ValueError: `texts` is no list of str, or a number is not positive.
        """
        texts = checked_texts(texts)
        results = [""] * len(texts)
        for places, batch, limit in self._batches(texts, max_length, batch_size):
            tokens, lengths = self.generate_ids(batch, limit)
            rows = [row[:n] for row, n in zip(tokens, lengths, strict=True)]
            for place, text in zip(places, self.tokenizer.decode(rows), strict=True):
                results[place] = text
        return results

    def generate_beam(self, texts, max_length=None, batch_size=8):
        """The likeliest targets of each source text, the best first: beam search, in the file.

        Args:
            texts: List of str, as `generate` takes them.
            max_length: As in `generate`.
            batch_size: Texts run at a time, of like length.

        Returns:
            For each text a list of (target, score): as many as the file has beams, or as there are.
            Scores are log-probabilities over the length penalty. Blank text has the one target "",
            of score 0.

        Raises:
            ValueError: As `generate`; or the file has no beam search.
        """
        if self.beam_ids is None:
            raise ValueError(
                "The bundle must have the signature `generate_beam`: export it with `num_beams`, and "
                "with float activations. "
                f"Received: {self.description.get('name')!r}, without"
            )
        texts = checked_texts(texts)
        results = [[("", 0.0)] for _ in texts]
        for places, batch, limit in self._batches(texts, max_length, batch_size):
            for place, *beams in zip(places, *self.beam_ids(batch, limit), strict=True):
                rows, scores = [], []
                for tokens, length, score in zip(*beams, strict=True):
                    if score > IMPOSSIBLE:
                        rows.append(tokens[:length])
                        scores.append(float(score))
                results[place] = list(zip(self.tokenizer.decode(rows), scores, strict=True))
        return results

    def sample(
        self,
        texts,
        *,
        temperature=1.0,
        top_k=None,
        top_p=None,
        seed=None,
        max_length=None,
        batch_size=32,
    ):
        """Draws a target for each source text, on the host; for several of a text repeat it.

        Args:
            texts: As in `generate`.
            temperature: Divides the logits: below 1 likely tokens become likelier.
            top_k: Draw among the so many likeliest tokens. Default: among all.
            top_p: Draw among the fewest tokens whose probabilities, after `top_k`, sum to this or
                more. Default: among all.
            seed: int: the same seed gives a text at the same place the same sample, whatever the
                batch. Default: others at each call.
            max_length: As in `generate`.
            batch_size: As in `generate`.

        Returns:
            List of str, in the order of `texts`.

        Raises:
            ValueError: An argument is not as above.
        """
        texts = checked_texts(texts)
        check_sampling(temperature, top_k, top_p, seed)
        if self.open_search is None:
            raise ValueError("A runner must be of a bundle to sample. Received: one without steps")
        results, draws = [""] * len(texts), None
        batch_size = self.open_search()[1] or batch_size
        for places, batch, limit in self._batches(texts, max_length, batch_size):
            if draws is None:
                draws = np.random.default_rng(seed).random((len(texts), limit), np.float32)
            tokens, lengths = self.open_search()[0].sample(
                batch,
                limit,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                draws=draws[places],
            )
            rows = [row[:n] for row, n in zip(tokens, lengths, strict=True)]
            for place, text in zip(places, self.tokenizer.decode(rows), strict=True):
                results[place] = text
        return results

    def _batches(self, texts, max_length, batch_size):
        """Places among `texts`, ids `(batch, source_length)`, most tokens to generate."""
        limit = self.description["max_target_length"] if max_length is None else max_length
        require_positive(max_length=limit, batch_size=batch_size)
        if limit > MAX_LENGTH:
            raise ValueError(f"`max_length` must be at most {MAX_LENGTH:,}. Received: {limit:,}")
        sources = self.source_ids(texts)
        self._warn_of_cuts(texts, sources)
        # Like lengths together, so that padding is short, and the longest first, so that shapes
        # shrink (see `interpreter_search`); what is blank needs no model.
        order = sorted((i for i, s in enumerate(sources) if s), key=lambda i: -len(sources[i]))
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            yield places, pad([sources[i] for i in places], self.tokenizer.pad_id), limit

    def source_ids(self, texts):
        """What the model reads of each text: ids with their end, cut; [] for blank text."""
        limit = self.description["max_source_length"] - 1
        return [
            [*ids[:limit], self.tokenizer.end_id] if text.strip() else []
            for text, ids in zip(texts, self.tokenizer.encode(texts), strict=True)
        ]

    def _warn_of_cuts(self, texts, sources):
        limit = self.description["max_source_length"]
        for text in (t for t, ids in zip(texts, sources, strict=True) if len(ids) == limit):
            length = len(self.tokenizer.encode([text])[0])
            if length >= limit:
                warnings.warn(
                    f"a text of {length} tokens is cut to {limit - 1}, the longest this model "
                    f"was trained for: {text!r:.60}",
                    stacklevel=4,
                )


def load(path, num_threads=1):
    """Opens a bundle, after checking that its parts are whole and belong together.

    Args:
        path: The bundle: a folder, or a zip, which is read in memory.
        num_threads: Threads that the interpreter may use.

    Returns:
        A `Runner`.

    Raises:
        BundleError: What is wrong with the bundle, naming the part.
        ValueError: `num_threads` is not positive.

    Example:
        >>> from seq2lite import export
        >>> export.load(bundle).generate(["Open File", ""])[1]
        ''
    """
    require_positive(num_threads=num_threads)
    return open_container(read_container(path), num_threads)


def open_container(container, num_threads=1):
    """A `Runner` of what `read_container` has read and found whole; as `load`."""
    folder, description, contents = container.path, container.description, container.parts
    interpreter = open_interpreter(contents[MODEL_FILE], num_threads, folder / MODEL_FILE)
    signatures = interpreter.get_signature_list()
    if not {"encode", "decode_step"} <= signatures.keys():
        raise BundleError(
            f"{folder / MODEL_FILE} must have signatures `encode` and `decode_step`. "
            f"Received: {list(signatures)}"
        )
    try:
        tokenizer = Tokenizer(contents[TOKENIZER_FILE])
    except ValueError as error:
        raise BundleError(f"{folder / TOKENIZER_FILE} is no SentencePiece model") from error
    expected = {name: description.get(name) for name in tokenizer.vocabulary}
    if tokenizer.vocabulary != expected:
        raise BundleError(
            f"{folder / TOKENIZER_FILE} must be the one that {MODEL_FILE} was made with, of "
            f"{expected}. Received: {tokenizer.vocabulary}"
        )
    opened = contents[MODEL_FILE], num_threads, folder / MODEL_FILE
    beams = None
    if "generate_beam" in signatures:
        beams = interpreter_search(*opened, "generate_beam")
    search = search_of(contents[MODEL_FILE], description, num_threads, folder / MODEL_FILE)
    return Runner(description, tokenizer, search, beams, lambda: host_search(*opened, tokenizer))
