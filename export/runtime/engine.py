"""The engines of a `Runner`: searches over ids."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from .host_search import HostSearch
from .interpreter import ModelFile
from .static_file import StaticFile

IDS = "start_id", "end_id", "pad_id"


class Engine(Protocol):
    """The searches that a `Runner` calls, with the arguments and results of `FileEngine`."""

    def greedy(self, source: np.ndarray, max_length: int) -> tuple:
        """Return tokens and lengths of greedy search."""

    def beam(self, source: np.ndarray, max_length: int) -> tuple:
        """Return tokens, lengths and scores of the bundle's beam search."""

    def host_search(self) -> HostSearch:
        """Return the searches on the host."""


def best_search(engine: Engine, num_beams: int) -> Callable:
    """Return the search of an engine as a function of ids that finds the best target of each source.

    Args:
        engine: An engine, such as a `FileEngine`.
        num_beams: Beam size of the engine's beam search, or 1 for greedy search.

    Returns:
        A function with the arguments and results of `FileEngine.greedy`.
    """
    if num_beams == 1:
        return engine.greedy

    def best(source, max_length):
        tokens, lengths, _ = engine.beam(source, max_length)
        return tokens[:, 0], lengths[:, 0]

    return best


class FileEngine:
    """Searches over the ids of a TFLite file, with the search inside or on the host.

    All methods can be called from several threads, which take turns. An engine can be pickled, as
    its `ModelFile` can.

    Args:
        file: The `ModelFile`.
        description: dict with `start_id`, `end_id` and `pad_id`, and `padding` where sources are padded
            with another value than `pad_id`. A file with the search inside needs it for
            `host_search` only.

    Attributes:
        file: The `ModelFile`.
        is_static: Whether the file has static shapes, and no search inside.
        batch: Number of rows of `encode` and `decode_step`; None if dynamic.
        max_tokens: Maximum number of tokens that `decode_step` supports; None without a limit.
    """

    def __init__(self, file: ModelFile, description: dict | None = None):
        self.file, description = file, description or {}
        self.ids: dict[str, int] = {key: description[key] for key in IDS if key in description}
        self.is_static = "generate" not in file.signatures
        self._static: StaticFile | None = None
        self.batch: int | None = None
        self.max_tokens: int | None = None
        if self.is_static:
            self._static = StaticFile(file, description.get("padding", self.ids["pad_id"]))
            self.batch, self.max_tokens = self._static.batch, self._static.max_tokens

    @property
    def has_beam(self) -> bool:
        """Whether the file contains a beam search."""
        return "generate_beam" in self.file.signatures

    def encode(self, source: np.ndarray) -> dict[str, np.ndarray]:
        """Encode `source (batch, length)`, ids or features, and return the initial state."""
        return (
            self._static.encode(source) if self._static else self.file.run("encode", source=source)
        )

    def decode_step(self, token: np.ndarray, **state: np.ndarray) -> dict[str, np.ndarray]:
        """Take int32 ids `(batch,)` and the state; return the next state and float32 `logits`."""
        if self._static:
            return self._static.decode_step(token, **state)
        return self.file.run("decode_step", token=token, **state)

    def greedy(self, source: np.ndarray, max_length: int) -> tuple[np.ndarray, np.ndarray]:
        """Generate the most probable token at each step.

        Args:
            source: Sources `(batch, source_length)`, ids or features, padded.
            max_length: Maximum number of tokens to generate.

        Returns:
            `tokens`, int32 `(batch, length)`, and `lengths`, int32 `(batch,)`.
        """
        if self._static:
            return self._greedy_on_host(self._static, source, max_length)
        found = self._run("generate", source, max_length)
        return found["tokens"], found["length"]

    def beam(
        self, source: np.ndarray, max_length: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Run the beam search in the file, with arguments as in `greedy`.

        Returns:
            `tokens`, int32 `(batch, num_beams, length)`, the best first; `lengths`, int32, and
            `scores`, float32, both `(batch, num_beams)`.
        """
        found = self._run("generate_beam", source, max_length)
        return found["tokens"], found["length"], found["scores"]

    def host_search(self) -> HostSearch:
        """Return a `HostSearch` over `encode` and `decode_step`."""
        sizes: dict = {"max_tokens": self.max_tokens, "batch": self.batch}
        return HostSearch(self.encode, self.decode_step, **self.ids, **sizes)

    def _run(self, signature, source, max_length):
        max_length = np.array(max_length, np.int32)
        return self.file.run(signature, source=source, max_length=max_length)

    def _greedy_on_host(self, file, source, max_length):
        """Search in batches of the file's size, so that short targets do not wait for long ones."""
        search = self.host_search()
        search.check_length(max_length)
        file.check_length(source)
        tokens = np.full((len(source), max_length), self.ids["pad_id"], np.int32)
        lengths = np.zeros(len(source), np.int32)
        for start in range(0, len(source), file.batch):
            rows = slice(start, start + file.batch)
            found, lengths[rows] = search.greedy(source[rows], max_length)
            tokens[rows, : found.shape[1]] = found
        return tokens[:, : max(1, lengths.max())], lengths
