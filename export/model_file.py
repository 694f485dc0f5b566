"""Runs a file of either kind: with a search in it, or portable (`portable.convert`), static shapes
and the search on the host. No TensorFlow.
"""

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from .container import BundleError
from .host_search import HostSearch


def open_interpreter(content, num_threads, name):
    """A LiteRT interpreter of a file's bytes; BundleError if it is none."""
    try:
        return Interpreter(model_content=content, num_threads=num_threads)
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"{name} is no TFLite file that this runtime can run: {error}") from error


def interpreter_search(content, num_threads, name, signature="generate"):
    """A file's `generate`, or `generate_beam`, as the `generate_ids` of a `Runner`.

    Where several rows are run and the shape has grown since the last call, a new interpreter runs
    them: in an old one XNNPACK (ai-edge-litert 2.3.0) gave wrong rows in one of 1,700 to
    2,000 calls of random shapes (docs/export.md, Limits).

    Args:
        content: The file's bytes.
        num_threads: Threads of an interpreter.
        name: The file's name, for errors.
        signature: `"generate"` or `"generate_beam"`.
    """
    run, last = None, (0, 0)

    def generate_ids(source, max_length):
        nonlocal run, last
        grown = len(source) > last[0] or source.shape[1] > last[1]
        if run is None or (grown and max(len(source), last[0]) > 1):
            interpreter = open_interpreter(content, num_threads, name)
            run = interpreter.get_signature_runner(signature)
        last = source.shape
        try:
            result = run(source=source, max_length=np.array(max_length, np.int32))
        except RuntimeError as error:
            raise BundleError(f"{name} could not be run: {error}") from error
        return [result[name] for name in ("tokens", "length", "scores") if name in result]

    return generate_ids


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


def search_of(content, description, num_threads, name):
    """A file of either kind as the `generate_ids` of a `Runner`: see `static_search`."""
    if has_search(open_interpreter(content, num_threads, name)):
        return interpreter_search(content, num_threads, name)
    return static_search(content, description, num_threads, name)


def steps_of(interpreter, pad_id, name="model.tflite"):
    """`encode` and `decode_step` of a file of either kind, and the sentences that they take at a time.

    A step gives the whole next state beside its `logits`. None: any number of sentences.
    """
    if has_search(interpreter):
        return *map(interpreter.get_signature_runner, ("encode", "decode_step")), None
    file = StaticFile(interpreter, pad_id, name)
    return file.encode, file.decode_step, int(file.batch)


def has_search(interpreter):
    """Whether a file holds `generate`, and then has dynamic shapes."""
    return "generate" in interpreter.get_signature_list()


def host_search(content, num_threads, name, tokenizer):
    """The `HostSearch` over a file's `encode` and `decode_step`, in an interpreter anew.

    Anew because of what `interpreter_search` says; once for each batch.
    """
    interpreter = open_interpreter(content, num_threads, name)
    if not has_search(interpreter):
        file = StaticFile(interpreter, tokenizer.pad_id, name)
        return file.search(tokenizer.start_id, tokenizer.end_id), int(file.batch)
    search = HostSearch(
        *map(interpreter.get_signature_runner, ("encode", "decode_step")),
        start_id=tokenizer.start_id,
        end_id=tokenizer.end_id,
        pad_id=tokenizer.pad_id,
    )
    return search, None
