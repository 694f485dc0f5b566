"""The outputs of a TFLite file, computed without TensorFlow, as on a device."""

from pathlib import Path

import numpy as np

from ..runtime.interpreter import open_interpreter
from ..runtime.model_file import search_of, steps_of

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
    content = Path(path).read_bytes()
    search = search_of(content, ids, 2, path)
    tokens, token_lengths = search_all(search, source, lengths, max_length)
    interpreter = open_interpreter(content, 2, path)
    encode, decode_step, batch = steps_of(interpreter, ids["padding"], path)
    logits = []
    for start in range(0, len(teacher), batch or len(teacher)):
        rows = slice(start, start + (batch or len(teacher)))
        state, of_rows = encode(source=source[: len(teacher)][rows, : lengths[rows].max()]), []
        for token in teacher[rows].T:
            state = decode_step(token=token, **state)
            of_rows.append(state.pop("logits"))
        logits.append(np.stack(of_rows, axis=1))
    logits = np.concatenate(logits)
    return {"tokens": tokens, "token_lengths": token_lengths, "logits": logits}


def search_all(generate_ids, source, lengths, max_length):
    """Run the search of a file or of Keras over sources that are sorted by length.

    Returns:
        `tokens (n, max_length)` and the number of tokens in each row `(n,)`.
    """
    tokens = np.zeros((len(source), max_length), np.int32)
    token_lengths = np.zeros(len(source), np.int32)
    for start in range(0, len(source), BATCH):
        rows = slice(start, start + BATCH)
        found, token_lengths[rows] = generate_ids(source[rows, : lengths[rows].max()], max_length)
        tokens[rows, : found.shape[1]] = found
    return tokens, token_lengths
