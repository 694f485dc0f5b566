"""Files with static shapes."""

import numpy as np

from .container import BundleError
from .host_search import HostSearch
from .interpreter import open_interpreter


class StaticFile:
    """The two signatures of a portable file as `HostSearch` wants them.

    Sources are padded to the file's length; integers of an 8- or 16-bit file go from call to call as
    they are, and its logits are given as float32.

    Args:
        interpreter: An interpreter of the file (`open_interpreter`).
        pad_id: Id of padding.
        name: The file's name, for errors.

    Raises:
        BundleError: It is no portable file that this runtime can run.
    """

    def __init__(self, interpreter, pad_id, name="model.tflite"):
        signatures = interpreter.get_signature_list()
        if not {"encode", "decode_step"} <= signatures.keys():
            raise BundleError(
                f"{name} must have signatures `encode` and `decode_step`. "
                f"Received: {list(signatures)}"
            )
        self._encode = interpreter.get_signature_runner("encode")
        self._decode_step = interpreter.get_signature_runner("decode_step")
        self.pad_id, self.name = pad_id, name
        self.batch, self.max_source_length = self._encode.get_input_details()["source"]["shape"]
        # The slots of its caches; one without caches remembers any number.
        written = self._decode_step.get_input_details().get("written")
        self.most_tokens = None if written is None else int(written["shape"][-1])
        self.logits = self._decode_step.get_output_details()["logits"]

    def encode(self, source):
        """int32 ids `(batch, length)`, no longer than the file's, to the state."""
        padded = np.full((self.batch, self.max_source_length), self.pad_id, np.int32)
        if len(source) != self.batch:
            raise ValueError(
                f"`source` must be of batch {self.batch}. Received: shape {source.shape}"
            )
        self.check_length(source)
        padded[:, : source.shape[1]] = source
        return {**self.first_state(), **self._run(self._encode, source=padded)}

    def check_length(self, source):
        """Raises ValueError unless the file reads so many tokens."""
        if source.shape[1] > self.max_source_length:
            raise ValueError(
                f"`source` must be of at most {self.max_source_length} tokens. "
                f"Received: shape {source.shape}"
            )

    def first_state(self):
        """What `encode` does not give, being zeros; integers may have another zero."""
        return zeros_of(self._decode_step)

    def decode_step(self, token, **state):
        """int32 ids `(batch,)` and the state to the next state and float32 `logits`."""
        state = {**state, **self._run(self._decode_step, token=token, **state)}
        if state["logits"].dtype != np.float32:
            scale, zero_point = self.logits["quantization"]
            state["logits"] = (state["logits"].astype(np.float32) - zero_point) * scale
        return state

    def search(self, start_id, end_id):
        """The `HostSearch` over this file."""
        return HostSearch(
            self.encode,
            self.decode_step,
            start_id=start_id,
            end_id=end_id,
            pad_id=self.pad_id,
            most_tokens=self.most_tokens,
        )

    def _run(self, signature, **inputs):
        try:
            return signature(**inputs)
        except RuntimeError as error:
            raise BundleError(f"{self.name} could not be run: {error}") from error


def zeros_of(decode_step):
    """Zeros for all that a signature runner takes, but the token."""
    return {
        name: np.full(tensor["shape"], tensor["quantization"][1], tensor["dtype"])
        for name, tensor in decode_step.get_input_details().items()
        if name != "token"
    }


def static_search(content, description, num_threads, name, is_timed=False):
    """A portable file as the `generate_ids` of a `Runner`: so many sentences at a time as it takes.

    Args:
        content: The file's bytes.
        description: dict of `start_id`, `end_id` and `pad_id`.
        num_threads: Threads of the interpreter.
        name: The file's name, for errors.
        is_timed: Nobody reads what it says, and more tokens may be said than it remembers.
    """
    file = StaticFile(open_interpreter(content, num_threads, name), description["pad_id"], name)
    search = file.search(description["start_id"], description["end_id"])
    if is_timed:
        search.most_tokens = None

    def generate_ids(source, max_length):
        search.check_length(max_length)
        file.check_length(source)
        tokens = np.full((len(source), max_length), file.pad_id, np.int32)
        lengths = np.zeros(len(source), np.int32)
        for start in range(0, len(source), file.batch):
            rows = slice(start, start + file.batch)
            batch = np.full((file.batch, source.shape[1]), file.pad_id, np.int32)
            count = len(source[rows])
            batch[:count] = source[rows]
            batch[count:] = batch[0]
            found, found_lengths = search.greedy(batch, max_length)
            tokens[rows, : found.shape[1]] = found[:count]
            lengths[rows] = found_lengths[:count]
        return tokens[:, : max(1, lengths.max())], lengths

    return generate_ids
