"""The TFLite interpreter, and an open file that is run by one thread at a time."""

import os
import threading
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from .container import MODEL_FILE, BundleError


def open_interpreter(
    content: bytes | Path, num_threads: int, name: str | Path, **options: object
) -> Interpreter:
    """Open a TFLite file.

    Args:
        content: The file's bytes, or its path, which the runtime maps into memory.
        num_threads: Number of threads of the interpreter.
        name: The file's name, for error messages.
        options: Further options of ai-edge-litert's `Interpreter`.

    Raises:
        BundleError: The content is not a TFLite file that this runtime supports.
    """
    source = (
        {"model_path": str(content)} if isinstance(content, Path) else {"model_content": content}
    )
    try:
        return Interpreter(**source, num_threads=num_threads, **options)
    except (ValueError, RuntimeError) as error:
        raise BundleError(
            f"{name} must be a TFLite file that this runtime supports. Received: {error}"
        ) from error


class ModelFile:
    """An open TFLite file whose signatures can be called from any thread.

    An interpreter runs one call at a time, so threads take turns. A pickled file, and the copy in a
    forked process, open an interpreter of their own.

    Args:
        content: The file's bytes, or its path, which the runtime maps into memory.
        num_threads: Number of threads of the interpreter.
        name: The file's name, for error messages.
        options: Further options of ai-edge-litert's `Interpreter`.

    Attributes:
        signatures: Names of the signatures.

    Raises:
        BundleError: The content is not a TFLite file that this runtime supports, or the signatures
            `encode` and `decode_step` are missing.
    """

    def __init__(
        self,
        content: bytes | Path,
        num_threads: int = 1,
        name: str | Path = MODEL_FILE,
        **options: object,
    ):
        self.content, self.num_threads, self.name = content, num_threads, name
        self.options = options
        self._session = _Session(self)
        self.signatures = set(self.interpreter.get_signature_list())
        if not {"encode", "decode_step"} <= self.signatures:
            raise BundleError(
                f"{name} must have the signatures `encode` and `decode_step`. "
                f"Received: {sorted(self.signatures)}"
            )

    @property
    def interpreter(self) -> Interpreter:
        """The interpreter; `run` may open another one."""
        session = self._session_of_process()
        with session.lock:
            return session.interpreter

    def inputs(self, signature: str) -> dict:
        """Return shape, type and scale of each input of a signature, by name."""
        session = self._session_of_process()
        with session.lock:
            return session.interpreter.get_signature_runner(signature).get_input_details()

    def outputs(self, signature: str) -> dict:
        """Return shape, type and scale of each output of a signature, by name."""
        session = self._session_of_process()
        with session.lock:
            return session.interpreter.get_signature_runner(signature).get_output_details()

    def run(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Call a signature.

        Args:
            signature: Its name.
            inputs: Its inputs, by name.

        Returns:
            Its outputs, by name.

        Raises:
            BundleError: The runtime cannot run the file.
        """
        session = self._session_of_process()
        try:
            with session.lock:
                return session.run(signature, inputs)
        except RuntimeError as error:
            raise BundleError(f"{self.name} cannot be run: {error}") from error

    def _session_of_process(self):
        """Return the session of this process; a forked one cannot use its parent's."""
        if self._session.process != os.getpid():
            self._session = _Session(self, of_parent=self._session)
        return self._session

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_session"}

    def __setstate__(self, state):
        vars(self).update(state)
        self._session = _Session(self)


class _Session:
    """The interpreters of a process, and their lock.

    XNNPACK (ai-edge-litert 2.3.0) returned wrong rows in one of 1,700 to 2,000 calls with random shapes,
    where a call of several rows was larger than the call before it, and never with single rows. So a
    batch that is larger than the last one gets a new interpreter. Single rows have one of their own,
    because a server that receives both would open one at every other call.
    """

    def __init__(self, file, of_parent=None):
        self.file = file
        self.process, self.lock = os.getpid(), threading.Lock()
        # The interpreters of the parent process are never closed here: its threads do not exist.
        self.of_parent = of_parent
        self.opened: dict = {}  # interpreter of single rows (False) and of batches (True)
        self.runners: dict = {}  # by kind of interpreter and signature
        self.last: dict = {}  # rows and length of the last batch of each signature

    @property
    def interpreter(self) -> Interpreter:
        """The interpreter of single rows, opened where none is open."""
        return self._interpreter(is_batch=False)

    def _interpreter(self, is_batch):
        if is_batch not in self.opened:
            file = self.file
            self.opened[is_batch] = open_interpreter(
                file.content, file.num_threads, file.name, **file.options
            )
        return self.opened[is_batch]

    def run(self, signature, inputs):
        """Run a signature, in a new interpreter if it is a batch larger than the last one."""
        rows, length = (*np.shape(inputs.get("source", inputs.get("token"))), 1, 1)[:2]
        is_batch = rows > 1
        if is_batch:
            last_rows, last_length = self.last.get(signature, (rows, length))
            if rows > last_rows or length > last_length:
                # Closed before the next one takes memory.
                self.opened.pop(True, None)
                self.runners = {key: run for key, run in self.runners.items() if not key[0]}
                self.last.clear()
            self.last[signature] = rows, length
        key = is_batch, signature
        if key not in self.runners:
            self.runners[key] = self._interpreter(is_batch).get_signature_runner(signature)
        return self.runners[key](**inputs)
