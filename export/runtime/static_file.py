"""Files with static shapes, whose search runs on the host."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from .checks import require
from .container import BundleError
from .host_search import HostSearch
from .interpreter import open_interpreter, signature_runners


class StaticFile:
    """The signatures `encode` and `decode_step` of a file with static shapes.

    Sources are padded to the file's length. Integer states pass unchanged from step to step; logits
    are returned as float32.

    Args:
        interpreter: An interpreter of the file, from `open_interpreter`.
        padding: Value that fills the end of shorter sources: the id of padding, or a number for a
            source of features.
        name: The file's name, for error messages.

    Attributes:
        batch: Number of sentences that the file processes at a time.
        max_source_length: Length of a source.
        max_tokens: Number of tokens that its KV cache holds; None without a limit.

    Raises:
        BundleError: The file lacks one of the signatures.
    """

    def __init__(self, interpreter: Interpreter, padding: float, name: str | Path = "model.tflite"):
        self._encode, self._decode_step = signature_runners(interpreter, name)
        self.padding, self.name = padding, name
        self._source = self._encode.get_input_details()["source"]
        self.batch, self.max_source_length = (int(size) for size in self._source["shape"][:2])
        written = self._decode_step.get_input_details().get("written")
        self.max_tokens = None if written is None else int(written["shape"][-1])
        self._outputs = self._decode_step.get_output_details()

    def encode(self, source: np.ndarray) -> dict:
        """Encode `source (batch, length)`, ids or features, and return the initial state."""
        source, shape = np.asarray(source), [int(size) for size in self._source["shape"]]
        expected = ", ".join(map(str, [self.batch, "length", *shape[2:]]))
        fits = source.ndim == len(shape) and len(source) == self.batch
        fits = fits and [*source.shape[2:]] == shape[2:]
        require(fits, f"of shape ({expected})", source=source)
        self.check_length(source)
        padded = np.full(self._source["shape"], self.padding, self._source["dtype"])
        padded[:, : source.shape[1]] = source
        return {**zero_state(self._decode_step), **self._run(self._encode, source=padded)}

    def check_length(self, source: np.ndarray) -> None:
        """Raise ValueError if `source` is longer than the file's sources."""
        expected = f"at most {self.max_source_length} tokens long"
        require(source.shape[1] <= self.max_source_length, expected, source=source)

    def decode_step(self, token: np.ndarray, **state: np.ndarray) -> dict:
        """Take int32 ids `(batch,)` and the state; return the next state and float32 `logits`."""
        state = {**state, **self._run(self._decode_step, token=token, **state)}
        for name in {"logits", "attention"} & state.keys():
            if state[name].dtype != np.float32:
                scale, zero_point = self._outputs[name]["quantization"]
                state[name] = (state[name].astype(np.float32) - zero_point) * scale
        return state

    def search(self, start_id: int, end_id: int, pad_id: int) -> HostSearch:
        """Return a `HostSearch` over this file."""
        ids = {"start_id": start_id, "end_id": end_id, "pad_id": pad_id}
        sizes = {"max_tokens": self.max_tokens, "batch": self.batch}
        return HostSearch(self.encode, self.decode_step, **ids, **sizes)

    def _run(self, signature, **inputs):
        try:
            return signature(**inputs)
        except RuntimeError as error:
            raise BundleError(f"{self.name} cannot be run: {error}") from error


def zero_state(decode_step) -> dict:
    """Return zeros for every input of a `decode_step` runner except the token.

    `encode` omits state that is zero at first. The zero of a quantized tensor is its zero point.
    """
    return {
        name: np.full(tensor["shape"], tensor["quantization"][1], tensor["dtype"])
        for name, tensor in decode_step.get_input_details().items()
        if name != "token"
    }


def static_search(
    content: bytes,
    description: dict,
    num_threads: int,
    name: str | Path,
    is_timed: bool = False,
) -> Callable:
    """Return greedy search over a static file as the `generate_ids` of a `Runner`.

    Args:
        content: The file's bytes.
        description: dict with `start_id`, `end_id` and `pad_id`, and `padding` for features.
        num_threads: Number of threads of the interpreter.
        name: The file's name, for error messages.
        is_timed: Whether the output is discarded. Then more tokens may be generated than the KV
            cache holds.
    """
    pad_id = description["pad_id"]
    interpreter = open_interpreter(content, num_threads, name)
    file = StaticFile(interpreter, description.get("padding", pad_id), name)
    search = file.search(description["start_id"], description["end_id"], pad_id)
    if is_timed:
        search.max_tokens = None

    def generate_ids(source, max_length):
        search.check_length(max_length)
        file.check_length(source)
        tokens = np.full((len(source), max_length), pad_id, np.int32)
        lengths = np.zeros(len(source), np.int32)
        for start in range(0, len(source), file.batch):
            rows = slice(start, start + file.batch)
            count = len(source[rows])
            # An incomplete batch is filled with copies of its first row.
            batch = np.concatenate([source[rows], *[source[rows][:1]] * (file.batch - count)])
            found, found_lengths = search.greedy(batch, max_length)
            tokens[rows, : found.shape[1]] = found[:count]
            lengths[rows] = found_lengths[:count]
        return tokens[:, : max(1, lengths.max())], lengths

    return generate_ids
