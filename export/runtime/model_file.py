"""Files of either kind: with a search inside, or static with the search on the host."""

from collections.abc import Callable
from pathlib import Path

from .host_search import HostSearch
from .interpreter import interpreter_search, open_interpreter, signature_runners
from .static_file import StaticFile, static_search


def search_of(content: bytes, description: dict, num_threads: int, name: str | Path) -> Callable:
    """Return the greedy search of a file of either kind; arguments as in `static_search`."""
    if has_search(open_interpreter(content, num_threads, name)):
        return interpreter_search(content, num_threads, name)
    return static_search(content, description, num_threads, name)


def steps_of(interpreter, padding, name: str | Path = "model.tflite"):
    """Return `encode` and `decode_step` of a file of either kind, and its batch size.

    `decode_step` returns the complete next state and `logits`. The batch size is None where it is
    dynamic.
    """
    if has_search(interpreter):
        return *signature_runners(interpreter, name), None
    file = StaticFile(interpreter, padding, name)
    return file.encode, file.decode_step, file.batch


def has_search(interpreter) -> bool:
    """Return whether a file contains `generate`; such files have dynamic shapes."""
    return "generate" in interpreter.get_signature_list()


def host_search(content: bytes, description: dict, num_threads: int, name: str | Path):
    """Return a `HostSearch` over a new interpreter of a file, and the file's batch size.

    `interpreter_search` explains why the interpreter is not reused.
    """
    interpreter = open_interpreter(content, num_threads, name)
    ids = {name: description[name] for name in ("start_id", "end_id", "pad_id")}
    if not has_search(interpreter):
        file = StaticFile(interpreter, description.get("padding", ids["pad_id"]), name)
        return file.search(**ids), file.batch
    return HostSearch(*signature_runners(interpreter, name), **ids), None
