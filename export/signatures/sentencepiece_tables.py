"""A SentencePiece model as lookup tables: character classes, a trie, scores, bytes."""

import numpy as np
from sentencepiece import sentencepiece_model_pb2

SPACE = "\u2581"  # SentencePiece's symbol for a space
REPLACEMENT = "\ufffd"  # replaces an invalid byte
PAGE = 128  # code points per entry of `pages`
UNKNOWN_PENALTY = 10.0  # unigram_model.cc, kUnkPenalty
NO_PIECE = -1
IMPOSSIBLE = np.float32(-1e30)
_PIECE = sentencepiece_model_pb2.ModelProto.SentencePiece
_SUPPORTED = (_PIECE.NORMAL, _PIECE.UNKNOWN, _PIECE.CONTROL, _PIECE.BYTE)


class TextTables:
    """The tables of a `TextGraph`.

    Args:
        model_bytes: A serialized SentencePiece model.

    Raises:
        ValueError: The model is not a unigram model with byte fallback, or normalizes text.

    Attributes:
        pages: int32 `(0x110000 / PAGE,)`, the offset in `classes` of each page of code points.
        classes: int32, the class of each character; 0 for characters that are in no piece.
        base: int32 `(slots,)`, with `check` and `piece` a double-array trie over classes. From state
            `s`, class `c` leads to `t = base[s] + c` if `check[t] == s`.
        check: int32 `(slots,)`, the parent state of each state.
        piece: int32 `(slots,)`, the id of the piece that a state completes, or NO_PIECE.
        dead: The state without transitions.
        max_length: Maximum number of characters of a piece.
        scores: float32 `(vocabulary_size + 1,)`, the score of each piece; the last entry stands for
            "no piece".
        unknown_score: Score of a character without a piece.
        byte_ids: int32 `(256,)`, the id of each byte's piece.
        byte_of: int32 `(vocabulary_size,)`, the byte of each byte piece; 0 for other pieces.
        is_byte: bool `(vocabulary_size,)`, whether a piece is a byte.
        is_control: bool `(vocabulary_size,)`, whether a piece is a control symbol.
        is_unknown: bool `(vocabulary_size,)`, whether a piece is the unknown symbol.
        offset: int32 `(vocabulary_size + 1,)`, the offset of each piece's text in `bytes`; the last
            entry is REPLACEMENT.
        length: int32 `(vocabulary_size + 1,)`, the number of bytes of each piece's text.
        bytes: uint8, the text of all pieces, then `max_bytes` zeros.
        max_bytes: Maximum number of bytes of a piece's text.
        has_dummy_prefix: Whether a space is inserted before the text.
    """

    def __init__(self, model_bytes):
        model = sentencepiece_model_pb2.ModelProto.FromString(model_bytes)
        _check(model)
        types = np.array([piece.type for piece in model.pieces])
        texts = [piece.piece for piece in model.pieces]
        normal = [i for i, kind in enumerate(types) if kind == _PIECE.NORMAL]
        self.pages, self.classes, class_of = _character_classes(texts[i] for i in normal)
        words = {tuple(class_of[c] for c in texts[i]): i for i in normal}
        self.base, self.check, self.piece = _double_array(words, len(class_of) + 1)
        self.dead = len(self.base) - 1
        self.max_length = max(map(len, words))
        scores = np.array([piece.score for piece in model.pieces], np.float32)
        self.scores = np.append(scores, IMPOSSIBLE)
        self.unknown_score = np.float32(scores[normal].min() - np.float32(UNKNOWN_PENALTY))
        self.is_byte, self.is_control = types == _PIECE.BYTE, types == _PIECE.CONTROL
        self.is_unknown = types == _PIECE.UNKNOWN
        self.byte_of = np.array(
            [int(t[3:5], 16) if b else 0 for t, b in zip(texts, self.is_byte, strict=True)],
            np.int32,
        )
        self.byte_ids = np.zeros(256, np.int32)
        self.byte_ids[self.byte_of[self.is_byte]] = np.flatnonzero(self.is_byte)
        surfaces = [text.replace(SPACE, " ").encode() for text in texts]
        for i, kind in enumerate(types):
            if kind == _PIECE.UNKNOWN:
                surfaces[i] = model.trainer_spec.unk_surface.encode()
            elif kind == _PIECE.BYTE:
                surfaces[i] = bytes([self.byte_of[i]])
            elif kind == _PIECE.CONTROL:
                surfaces[i] = b""
        surfaces.append(REPLACEMENT.encode())
        self.length = np.array([len(surface) for surface in surfaces], np.int32)
        self.offset = (np.cumsum(self.length) - self.length).astype(np.int32)
        self.max_bytes = int(self.length.max())
        self.bytes = np.frombuffer(b"".join(surfaces) + bytes(self.max_bytes), np.uint8)
        self.has_dummy_prefix = model.normalizer_spec.add_dummy_prefix


def _check(model):
    """Raise ValueError for models whose ids the graph could not reproduce."""
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    others = [piece.piece for piece in model.pieces if piece.type not in _SUPPORTED]
    for requirement, received in (
        ("a unigram model", trainer.model_type != trainer.UNIGRAM and "another model_type"),
        ("a model with byte_fallback=True", not trainer.byte_fallback and "byte_fallback=False"),
        (
            "a model with normalization_rule_name='identity'",
            bool(normalizer.precompiled_charsmap) and f"{normalizer.name!r}",
        ),
        (
            "a model with remove_extra_whitespaces=False",
            normalizer.remove_extra_whitespaces and "True",
        ),
        ("a model with escape_whitespaces=True", not normalizer.escape_whitespaces and "False"),
        (
            "a model with treat_whitespace_as_suffix=False",
            trainer.treat_whitespace_as_suffix and "True",
        ),
        ("a model without user-defined or unused pieces", others and repr(others[:5])),
    ):
        if received:
            raise ValueError(
                f"`tokenizer` must be {requirement} to be part of the file. Received: {received}. "
                "Pass text=False to export a file that takes ids"
            )


def _character_classes(texts):
    """Number the characters of `texts` from 1.

    Returns:
        The tables `pages` and `classes`, and a dict from character to class.
    """
    class_of = {c: i for i, c in enumerate(sorted(set("".join(texts))), start=1)}
    classes, pages = [np.zeros(PAGE, np.int32)], np.zeros(0x110000 // PAGE, np.int32)
    for number in sorted({ord(c) // PAGE for c in class_of}):
        pages[number] = len(classes) * PAGE
        classes.append(
            np.array([class_of.get(chr(number * PAGE + i), 0) for i in range(PAGE)], np.int32)
        )
    return pages, np.concatenate(classes), class_of


def _double_array(words, num_classes):
    """Build a double-array trie (Aoe 1989) of `words`, a dict from tuples of classes to ids."""
    children = {(): {}}
    for word in words:
        for end in range(1, len(word) + 1):
            if word[:end] not in children:
                children[word[:end]] = {}
                children[word[: end - 1]][word[end - 1]] = word[:end]
    size = 2 * len(children) + 2 * num_classes
    base, check = np.zeros(size, np.int32), np.full(size, -1, np.int32)
    piece = np.full(size, NO_PIECE, np.int32)
    free = np.ones(size, bool)
    free[0] = False
    slot = {(): 0}
    # A state's slot is known once its parent is placed, so states are placed level by level, those
    # with the most children first.
    level, first_free = [()], 1
    while level:
        for state in sorted(level, key=lambda s: -len(children[s])):
            piece[slot[state]] = words.get(state, NO_PIECE)
            if not children[state]:
                continue
            labels = np.array(sorted(children[state]))
            first_free += int(np.argmax(free[first_free:]))
            start = _first_fit(free, labels, first_free)
            base[slot[state]] = start
            free[start + labels] = False
            check[start + labels] = slot[state]
            for label, child in children[state].items():
                slot[child] = start + label
        level = [child for state in level for child in children[state].values()]
    # The last slot is the dead state: no `check` refers to it.
    used = int(np.flatnonzero(~free)[-1]) + 1 + num_classes
    return [np.append(table[:used], table[-1]).astype(np.int32) for table in (base, check, piece)]


def _first_fit(free, labels, first_free, at_once=4096):
    """Return the smallest start for which all slots `start + labels` are free."""
    for begin in range(first_free, len(free), at_once):
        starts = begin - labels[0] + np.flatnonzero(free[begin : begin + at_once])
        starts = starts[(starts >= 0) & (starts + labels[-1] < len(free))]
        fits = np.ones(len(starts), bool)
        for label in labels:
            fits[fits] = free[starts[fits] + label]
        if fits.any():
            return int(starts[np.argmax(fits)])
    raise AssertionError("the trie must have a slot for every state")
