"""The TFLite interpreter."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from .container import BundleError


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
