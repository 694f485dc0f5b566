"""The TFLite interpreter, and an open file that is run by one thread at a time."""

import functools
import os
import threading
import warnings
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from .container import MODEL_FILE, BundleError

# `_Session.interpreter` gives the reason for the option.
warnings.filterwarnings("ignore", "Warning: Enabling `experimental_preserve_all_tensors`")


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
        """The interpreter of this process."""
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
    """The interpreter of a process, and its lock."""

    def __init__(self, file, of_parent=None):
        self.file = file
        self.process, self.lock = os.getpid(), threading.Lock()
        # The interpreter of the parent process is never closed here: its threads do not exist.
        self.of_parent = of_parent
        self.runners: dict = {}

    @functools.cached_property
    def interpreter(self) -> Interpreter:
        """The interpreter, opened at first use.

        XNNPACK (ai-edge-litert 2.3.0) returns wrong rows where several rows of a call outgrow its
        buffers: in larger batches, and in beam search, whose KV cache grows. It does not if all tensors
        keep memory of their own. docs/guides/run-on-a-device.md states the cost in time and memory.
        """
        file = self.file
        options = {"experimental_preserve_all_tensors": True, **file.options}
        return open_interpreter(file.content, file.num_threads, file.name, **options)

    def run(self, signature, inputs):
        """Run a signature."""
        if signature not in self.runners:
            self.runners[signature] = self.interpreter.get_signature_runner(signature)
        return self.runners[signature](**inputs)
