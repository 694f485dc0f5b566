"""Runs a file of either kind: with a search in it, or portable (`portable.convert`), static shapes
and the search on the host. No TensorFlow.
"""

from .host_search import HostSearch
from .interpreter import interpreter_search, open_interpreter
from .static_file import StaticFile, static_search


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
