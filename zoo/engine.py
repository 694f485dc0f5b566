"""The searches of a Keras model, compiled: the engine of a `Runner`."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from seq2lite.export.runtime.host_search import HostSearch

from .search.beam import beam_search
from .search.greedy import greedy_search
from .shapes import STATIC_SHAPES

MULTIPLE = 16  # lengths of sources where each length is compiled


class Compiled(keras.Model):
    """A function of a model and of arrays, which `predict_on_batch` compiles for the backend.

    Args:
        model: A `Seq2Seq`.
        function: Function of the model and of the inputs.
    """

    def __init__(self, model: keras.Model, function: Callable[[keras.Model, Any], Any]):
        super().__init__(name="compiled")
        self.model = model
        self.function = function
        self.built = True
        # XLA would compile every shape of a batch.
        self.jit_compile = STATIC_SHAPES

    def call(self, inputs):
        return self.function(self.model, inputs)


class KerasEngine:
    """Searches over the ids of a Keras model, as a `FileEngine` has them over those of a file.

    Args:
        model: A `Seq2Seq` that reads ids.
        num_beams: Beam size of `beam`.
        length_penalty: Exponent of its length penalty.
    """

    def __init__(self, model: keras.Model, num_beams: int, length_penalty: float):
        self.model = model
        self.num_beams, self.length_penalty = num_beams, length_penalty
        self._compiled: dict = {}

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_compiled": {}}

    @property
    def has_beam(self) -> bool:
        """Whether `beam` is a beam search of more than one beam."""
        return self.num_beams > 1

    def greedy(self, source: np.ndarray, max_length: int) -> tuple[np.ndarray, np.ndarray]:
        """Run `zoo.greedy_search`; return tokens `(batch, length)` and lengths `(batch,)`."""
        return self._search(greedy_search, source, max_length)

    def beam(
        self, source: np.ndarray, max_length: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Run `zoo.beam_search` with as many hypotheses as beams.

        Returns:
            `tokens`, int32 `(batch, num_beams, length)`, the best first; `lengths` and `scores`, both
            `(batch, num_beams)`.
        """
        return self._search(
            beam_search,
            source,
            max_length,
            num_beams=self.num_beams,
            num_hypotheses=self.num_beams,
            length_penalty=self.length_penalty,
        )

    def encode(self, source: np.ndarray) -> dict[str, np.ndarray]:
        """Encode `source (batch, length)` and return the initial state."""
        return self._call("encode", lambda model, source: model.encode(source), source)

    def decode_step(self, token: np.ndarray, **state: np.ndarray) -> dict[str, np.ndarray]:
        """Take ids `(batch,)` and the state; return the next state, `logits` and `attention`."""
        return self._call("decode_step", _decode_step, {"token": token, "state": state})

    def host_search(self) -> HostSearch:
        """Return the searches on the host, over `encode` and `decode_step`, for any batch."""
        ids = {name: getattr(self.model, name) for name in ("start_id", "end_id", "pad_id")}
        limit = self.model.max_positions
        max_tokens = None if limit is None else limit - 1
        return HostSearch(self.encode, self.decode_step, **ids, max_tokens=max_tokens)

    def _search(self, search, source, max_length, **options):
        rows = len(source)
        if not STATIC_SHAPES:
            inputs = {"source": source, "max_length": np.array(max_length, np.int32)}
            return self._call(search, lambda model, x: search(model, **x, **options), inputs)
        function = lambda model, source: search(model, source, max_length, **options)  # noqa: E731
        found = self._call((search, max_length), function, self._padded(source))
        return tuple(output[:rows] for output in found)

    def _call(self, key, function, inputs):
        """Call a function in a graph, which is kept under a key; JAX runs single steps eagerly."""
        if STATIC_SHAPES and key in ("encode", "decode_step"):
            outputs = function(self.model, inputs)
        else:
            if key not in self._compiled:
                self._compiled[key] = Compiled(self.model, function)
            outputs = self._compiled[key].predict_on_batch(inputs)
        return keras.tree.map_structure(ops.convert_to_numpy, outputs)

    def _padded(self, source):
        """Pad a batch and repeat its last row, so that few shapes are compiled."""
        rows, length = source.shape
        more_rows = (1 << (rows - 1).bit_length()) - rows
        limit = self.model.max_positions or length + MULTIPLE
        more_tokens = min(-length % MULTIPLE, limit - length)
        source = np.pad(source, ((0, 0), (0, more_tokens)), constant_values=self.model.pad_id)
        return np.pad(source, ((0, more_rows), (0, 0)), mode="edge")


def _decode_step(model, inputs):
    token, state, attention = inputs["token"], inputs["state"], {}
    if model.has_attention:
        logits, state, weights = model.step(token, state, return_attention=True)
        state, attention = model.grow(state, 1), {"attention": ops.cast(weights, "float32")}
    else:
        logits, state = model.decode_step(token, state)
    return {**state, **attention, "logits": ops.cast(logits, "float32")}
