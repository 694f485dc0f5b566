"""Files with static shapes, whose search runs on the host."""

import numpy as np

from .checks import require
from .interpreter import ModelFile


class StaticFile:
    """The signatures `encode` and `decode_step` of a file with static shapes.

    Sources are padded to the file's length. Integer states pass unchanged from step to step; logits
    are returned as float32.

    Args:
        file: The `ModelFile`.
        padding: Value that fills the end of shorter sources: the id of padding, or a number for a
            source of features.

    Attributes:
        batch: Number of sentences that the file processes at a time.
        max_source_length: Length of a source.
        max_tokens: Number of tokens that its KV cache holds; None without a limit.
    """

    def __init__(self, file: ModelFile, padding: float):
        self.file, self.padding = file, padding
        self._source = file.inputs("encode")["source"]
        self.batch, self.max_source_length = (int(size) for size in self._source["shape"][:2])
        self._inputs = file.inputs("decode_step")
        written = self._inputs.get("written")
        self.max_tokens = None if written is None else int(written["shape"][-1])
        self._outputs = file.outputs("decode_step")

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
        return {**zero_state(self._inputs), **self.file.run("encode", source=padded)}

    def check_length(self, source: np.ndarray) -> None:
        """Raise ValueError if `source` is longer than the file's sources."""
        expected = f"at most {self.max_source_length} tokens long"
        require(source.shape[1] <= self.max_source_length, expected, source=source)

    def decode_step(self, token: np.ndarray, **state: np.ndarray) -> dict:
        """Take int32 ids `(batch,)` and the state; return the next state and float32 `logits`."""
        state = {**state, **self.file.run("decode_step", token=token, **state)}
        for name in {"logits", "attention"} & state.keys():
            if state[name].dtype != np.float32:
                scale, zero_point = self._outputs[name]["quantization"]
                state[name] = (state[name].astype(np.float32) - zero_point) * scale
        return state


def zero_state(inputs: dict) -> dict[str, np.ndarray]:
    """Return zeros for every input of `decode_step` except the token.

    `encode` omits state that is zero at first. The zero of a quantized tensor is its zero point.

    Args:
        inputs: Details of the inputs, by name, as `ModelFile.inputs` returns them.
    """
    return {
        name: np.full(tensor["shape"], tensor["quantization"][1], tensor["dtype"])
        for name, tensor in inputs.items()
        if name != "token"
    }
