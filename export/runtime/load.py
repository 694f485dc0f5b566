"""Opening of a bundle as a `Runner`."""

import os

from .checks import require_positive
from .container import (
    DESCRIPTION_FILE,
    MODEL_FILE,
    TARGET_TOKENIZER_FILE,
    TOKENIZER_FILE,
    BundleError,
    Container,
    read_container,
)
from .engine import FileEngine
from .interpreter import ModelFile
from .runner import Runner
from .tokenizer import Tokenizer, Tokenizers


def load(path: str | os.PathLike, num_threads: int = 1) -> Runner:
    """Open a bundle after verifying the checksums of its parts.

    Args:
        path: The bundle: a folder, or a zip, which is read into memory.
        num_threads: Number of threads of the interpreter.

    Returns:
        A `Runner`.

    Raises:
        BundleError: A part is missing, corrupted or from another bundle; the message names it.
        ValueError: `num_threads` is not positive.

    Example:
        >>> from seq2lite import export
        >>> export.load(bundle).generate(["Open File", ""])[1]
        ''
    """
    require_positive(num_threads=num_threads)
    return open_container(read_container(path), num_threads)


def open_container(container: Container, num_threads: int = 1) -> Runner:
    """Open the content of a bundle, as `load` does."""
    name, description = container.path / MODEL_FILE, container.description
    file = ModelFile(container.parts[MODEL_FILE], num_threads, name)
    tokenizers, engine = _open_tokenizers(container), FileEngine(file, description)
    if description["search"]["num_beams"] > 1 and not engine.has_beam:
        raise BundleError(
            f"{name} must have the signature `generate_beam`, because search in {DESCRIPTION_FILE} is "
            f"a beam search. Received: {sorted(file.signatures)}"
        )
    return Runner(description, tokenizers, engine)


def _open_tokenizers(container):
    """Open the tokenizers of a bundle and compare them with its description."""
    has_two = TARGET_TOKENIZER_FILE in container.parts
    start_id = container.description.get("start_id")
    source = _open_tokenizer(container, TOKENIZER_FILE, None if has_two else start_id)
    target = _open_tokenizer(container, TARGET_TOKENIZER_FILE, start_id) if has_two else source
    try:
        tokenizers = Tokenizers(source, target)
        vocabulary = tokenizers.vocabulary
    except ValueError as error:
        raise BundleError(f"{container.path}: {error}") from error
    expected = {name: container.description.get(name) for name in vocabulary}
    if vocabulary != expected:
        raise BundleError(
            f"{container.path / TOKENIZER_FILE} must be the tokenizer that {MODEL_FILE} was exported "
            f"with: {expected}. Received: {vocabulary}"
        )
    return tokenizers


def _open_tokenizer(container, part, start_id):
    try:
        return Tokenizer(container.parts[part], start_id)
    except ValueError as error:
        raise BundleError(f"{container.path / part}: {error}") from error
