"""The outputs of a TFLite file, computed without TensorFlow, as on a device."""

from pathlib import Path

import numpy as np

from ..runtime.engine import FileEngine
from ..runtime.model_file import ModelFile

BATCH = 32


def probe(path, source, lengths, max_length, teacher, **ids):
    """Run greedy search, `encode` and `decode_step` of a file.

    Args:
        path: The TFLite file.
        source: Sources `(n, source_length)`, ids or features.
        lengths: Length of each row of `source`.
        max_length: Maximum number of tokens to generate.
        teacher: int32 ids `(m, target_length)` with m <= n, the inputs of `decode_step`.
        ids: `pad_id`, `start_id`, `end_id`, and `padding`, the value that pads `source`.

    Returns:
        dict of `tokens (n, max_length)` and `token_lengths (n,)` from greedy search, and `logits
        (m, target_length, vocabulary_size)` from `encode` and `decode_step`.
    """
    engine = FileEngine(ModelFile(Path(path).read_bytes(), 2, path), ids)
    tokens, token_lengths = search_all(engine.greedy, source, lengths, max_length)
    batch, logits = engine.batch, []
    for start in range(0, len(teacher), batch or len(teacher)):
        rows = slice(start, start + (batch or len(teacher)))
        state, of_rows = engine.encode(source[: len(teacher)][rows, : lengths[rows].max()]), []
        for token in teacher[rows].T:
            state = engine.decode_step(token, **state)
            of_rows.append(state.pop("logits"))
        logits.append(np.stack(of_rows, axis=1))
    logits = np.concatenate(logits)
    return {"tokens": tokens, "token_lengths": token_lengths, "logits": logits}


def search_all(search, source, lengths, max_length):
    """Run a search, the `greedy` of an engine, over sources that are sorted by length.

    Returns:
        `tokens (n, max_length)` and the number of tokens in each row `(n,)`.
    """
    tokens = np.zeros((len(source), max_length), np.int32)
    token_lengths = np.zeros(len(source), np.int32)
    for start in range(0, len(source), BATCH):
        rows = slice(start, start + BATCH)
        found, token_lengths[rows] = search(source[rows, : lengths[rows].max()], max_length)
        tokens[rows, : found.shape[1]] = found
    return tokens, token_lengths
