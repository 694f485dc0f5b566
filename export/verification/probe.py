"""The outputs of a TFLite file, computed without TensorFlow, as on a device."""

from pathlib import Path

import numpy as np

from ..runtime.engine import FileEngine, best_search
from ..runtime.interpreter import ModelFile

BATCH = 32
MAX_STEPS = 48  # of a sentence whose logits are compared


def probe(path, source, lengths, max_length, teacher, search, **ids):
    """Run the search, `encode` and `decode_step` of a file.

    Args:
        path: The TFLite file.
        source: Sources `(n, source_length)`, ids or features.
        lengths: Length of each row of `source`.
        max_length: Maximum number of tokens to generate.
        teacher: int32 ids `(m, target_length)` with m <= n, the inputs of `decode_step`.
        search: dict of `num_beams` and `length_penalty`.
        ids: `pad_id`, `start_id`, `end_id`, and `padding`, the value that pads `source`.

    Returns:
        dict of `tokens (n, max_length)` and `token_lengths (n,)` from the search; `logits (m,
        target_length, vocabulary_size)` from `encode` and `decode_step`; and `agreements (m,)`,
        whether the same search on the host finds the same tokens. None for a static file, whose
        only search is that on the host.
    """
    engine = FileEngine(ModelFile(Path(path).read_bytes(), 2, path), ids)
    run = best_search(engine, search["num_beams"])
    tokens, token_lengths = search_all(run, source, lengths, max_length)
    source, lengths = source[: len(teacher)], lengths[: len(teacher)]
    steps = min(max_length, MAX_STEPS)
    return {
        "tokens": tokens,
        "token_lengths": token_lengths,
        "logits": _logits(engine, source, lengths, teacher),
        "agreements": _agreements(engine, run, source[:, : lengths.max()], steps, search),
    }


def search_all(search, source, lengths, max_length):
    """Run a search, such as the `greedy` of an engine, over sources that are sorted by length.

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


def _logits(engine, source, lengths, teacher):
    """The logits of each step, where the tokens of `teacher` are read."""
    batch, logits = engine.batch or len(teacher), []
    for start in range(0, len(teacher), batch):
        rows = slice(start, start + batch)
        state, of_rows = engine.encode(source[rows, : lengths[rows].max()]), []
        for token in teacher[rows].T:
            state = engine.decode_step(token, **state)
            of_rows.append(state.pop("logits"))
            state.pop("attention", None)
        logits.append(np.stack(of_rows, axis=1))
    return np.concatenate(logits)


def _agreements(engine, run, source, max_length, search):
    """Whether a search in the file and on the host find the same tokens, for each row of a source."""
    if engine.is_static:
        return None
    host = engine.host_search()
    if search["num_beams"] == 1:
        expected, expected_lengths = host.greedy(source, max_length)
    else:
        found, found_lengths, _ = host.beam(source, max_length, **search)
        expected, expected_lengths = found[:, 0], found_lengths[:, 0]
    rows = zip(*run(source, max_length), expected, expected_lengths, strict=True)
    return np.array([np.array_equal(a[:m], b[:n]) for a, m, b, n in rows])
