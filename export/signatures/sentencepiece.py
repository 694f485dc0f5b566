"""SentencePiece in a graph of built-in ops: UTF-8 bytes to ids, and ids to UTF-8 bytes.

The ids are those of the `Tokenizer`: the same pieces by the same float32 sums (Viterbi over unigram
scores: Kudo 2018, https://arxiv.org/abs/1804.10959), the same bytes where there is no piece. Only NFC is
the host's business.
"""

import numpy as np
import tensorflow as tf
from keras import ops

from .sentencepiece_tables import IMPOSSIBLE, PAGE, REPLACEMENT, SPACE, text_tables

# Characters that `str.strip` takes away: text of nothing else is blank.
_BLANKS = [i for i in range(0x110000) if chr(i).isspace()]


class TextGraph:
    """A `Tokenizer` as TensorFlow functions that TFLite runs.

    Args:
        tokenizer: A `Tokenizer`.

    Raises:
        ValueError: Its model is not unigram with byte fallback, or normalizes text.

    Example:
        >>> import numpy as np
        >>> from seq2lite.export.signatures.sentencepiece import TextGraph
        >>> graph = TextGraph(tokenizer)
        >>> ids, length = graph.tokenize(np.frombuffer("Open File".encode(), np.uint8))
        >>> ids.numpy().tolist() == tokenizer.encode(["Open File"])[0]
        True
        >>> text, length = graph.detokenize(ids)
        >>> text.numpy().tobytes().decode()
        'Open File'
    """

    def __init__(self, tokenizer):
        self.tables = text_tables(tokenizer.model_bytes)

    def tokenize(self, text, length=None, capacity=None):
        """Text to ids, without start and end.

        Args:
            text: uint8 `(n,)`, UTF-8; an invalid byte is read as U+FFFD.
            length: Bytes of it that count. Default: all.
            capacity: Most ids, for a graph of static shapes; more are cut. Default: no limit, and no
                padding.

        Returns:
            int32 ids `(max(1, number),)`, or `(capacity,)`, with zeros at the end, and their number.
        """
        code, num_bytes, _ = self._characters(text, length, capacity is not None)
        return self._ids(code, num_bytes, capacity)

    def is_blank(self, text, length=None):
        """Whether `str.strip` would leave nothing of `text`."""
        return self._characters(text, length, is_static=True)[2]

    def detokenize(self, ids, length=None, capacity=None):
        """Ids to text.

        Args:
            ids: int32 `(n,)`; start and end say nothing.
            length: Ids that count. Default: all.
            capacity: Most bytes, as in `tokenize`; a character that does not fit is cut off whole.

        Returns:
            uint8 `(max(1, number),)`, or `(capacity,)`, UTF-8 with zeros at the end, and the number
            of bytes.
        """
        tables = self.tables
        ids = tf.cast(ids, tf.int32)
        place = tf.range(tf.size(ids))
        counts = tf.ones_like(ids) if length is None else tf.cast(place < length, tf.int32)
        speaks = counts * (1 - _take(tables.is_control.astype(np.int32), ids))
        is_byte = speaks * _take(tables.is_byte.astype(np.int32), ids)
        byte = is_byte * _take(tables.byte_of, ids)
        # What is no byte piece is read as an ASCII byte: it ends a sequence, and is in none.
        sequence, is_covered, _ = _utf8(byte)
        is_invalid = is_byte * tf.cast(sequence == 0, tf.int32) * (1 - is_covered)
        replacement = len(tables.offset) - 1
        ids = tf.where(is_invalid > 0, replacement, ids)
        offset, size = _take(tables.offset, ids), _take(tables.length, ids) * speaks
        if tables.has_dummy_prefix:
            # The space that was put before the first piece goes again.
            is_first = speaks * tf.cast(tf.cumsum(speaks) == 1, tf.int32)
            first_byte = tf.cast(_take(tables.bytes, offset), tf.int32)
            is_piece = 1 - _take(
                np.append(tables.is_byte | tables.is_unknown, False).astype(np.int32), ids
            )
            drop = is_first * is_piece * tf.cast(first_byte == ord(" "), tf.int32)
            offset, size = offset + drop, size - drop
        slots = tf.range(tables.max_bytes)[None]
        said = tf.cast(slots < tf.reshape(size, (-1, 1)), tf.int32)
        places = tf.reshape(tf.reshape(offset, (-1, 1)) + slots, (-1,))
        return _compressed(_take(tables.bytes, places), tf.reshape(said, (-1,)), capacity)

    def _characters(self, text, length, is_static):
        """Code points `(m,)`, with the dummy prefix; bytes of each, 0 at padding; and blankness.

        One or more; as many as there are, or where shapes are static as many as there may be.
        """
        text = tf.cast(text, tf.int32)
        counts = tf.ones_like(text)
        if length is not None:
            counts = tf.cast(tf.range(tf.size(text)) < length, tf.int32)
        text = text * counts
        sequence, is_covered, code = _utf8(text)
        is_start = counts * (1 - is_covered)
        code = tf.where(sequence > 0, code, ord(REPLACEMENT))
        is_text = tf.reduce_all(tf.reshape(code, (-1, 1)) != np.array([_BLANKS], np.int32), axis=1)
        is_blank = tf.reduce_sum(tf.cast(is_text, tf.int32) * is_start) == 0
        num_bytes = tf.where(sequence > 0, sequence, len(REPLACEMENT.encode()))
        num_bytes = tf.where(code == ord(" "), len(SPACE.encode()), num_bytes)
        code = tf.where(code == ord(" "), ord(SPACE), code)
        room = text.shape[0] if is_static else None
        code, number = _compressed(code, is_start, room)
        num_bytes, _ = _compressed(num_bytes, is_start, room)
        if self.tables.has_dummy_prefix:
            # No text has none: there padding stands first instead.
            is_some = tf.reshape(tf.minimum(number, 1), (1,))
            code = tf.concat([is_some * ord(SPACE), code], 0)
            num_bytes = tf.concat([is_some * len(SPACE.encode()), num_bytes], 0)
        return code, num_bytes, is_blank

    def _ids(self, code, num_bytes, capacity):
        tables = self.tables
        scores, pieces = self._matches(code)
        longest = self._best_lengths(scores)
        is_last = _last_characters(longest, num_bytes)
        # Of each character that ends a piece: the piece, or where it has none, its bytes.
        chosen = tf.reshape(pieces, (-1,))
        width = tables.max_length
        chosen = _take(chosen, tf.range(tf.size(code)) * width + width - longest)
        is_known = tf.cast(chosen >= 0, tf.int32)
        byte_ids = [_take(tables.byte_ids, byte) for byte in _bytes_of(code, num_bytes)]
        slots = [tf.where(is_known > 0, chosen, byte_ids[0]), *byte_ids[1:]]
        used = [
            is_last * tf.cast(num_bytes > i, tf.int32) * (1 - is_known if i else 1)
            for i in range(4)
        ]
        return _compressed(_interleaved(slots), _interleaved(used), capacity)

    def _matches(self, code):
        """Scores and ids of the pieces that end at each character, `(m, max_length)` each.

        The longest piece comes first: of equal sums SentencePiece takes the earliest start.
        """
        tables = self.tables
        klass = _take(tables.classes, _take(tables.pages, code // PAGE) + code % PAGE)
        width, size = tables.max_length, tf.size(code)
        klass = tf.concat([klass, tf.zeros((width,), tf.int32)], 0)
        state = tf.zeros_like(code)
        pieces, scores = [], []
        for i in range(width):
            slot = _take(tables.base, state) + klass[i : i - width]
            state = tf.where(_take(tables.check, slot) == state, slot, tables.dead)
            piece = _take(tables.piece, state)
            score = _take(tables.scores, tf.where(piece >= 0, piece, len(tables.scores) - 1))
            if i == 0:
                score = tf.where(piece >= 0, score, tables.unknown_score)
            # From where a piece starts to where it ends.
            pieces.append(tf.concat([tf.fill([i], -1), piece], 0)[:size][None])
            scores.append(tf.concat([tf.fill([i], IMPOSSIBLE), score], 0)[:size][None])
        return tf.transpose(tf.concat(scores[::-1], 0)), tf.transpose(tf.concat(pieces[::-1], 0))

    def _best_lengths(self, scores):
        """Characters of the last piece of the best way to each character, `(m,)`."""
        width, size = self.tables.max_length, tf.shape(scores)[0]
        # The best sum up to each character; before the first there is one way, which sums to zero.
        best = tf.concat([tf.fill([width - 1], IMPOSSIBLE), [0.0], tf.zeros((size,))], 0)

        def one_character(i, best):
            sums = best[i : i + width] + scores[i]
            most = tf.reduce_max(sums, keepdims=True)
            return i + 1, ops.slice_update(best, [i + width], most)

        _, best = tf.while_loop(lambda i, _: i < size, one_character, (0, best))
        sums = [(best[i : i + size] + scores[:, i])[:, None] for i in range(width)]
        return width - tf.argmax(tf.concat(sums, 1), axis=1, output_type=tf.int32)


def _last_characters(longest, num_bytes):
    """1 where a piece of the best way ends, from the last character back to the first."""
    is_last = tf.zeros_like(longest)

    def one_piece(i, is_last):
        is_last = ops.slice_update(is_last, [i - 1], tf.constant([1]))
        return i - longest[i - 1], is_last

    number = tf.reduce_sum(tf.cast(num_bytes > 0, tf.int32))
    return tf.while_loop(lambda i, _: i > 0, one_piece, (number, is_last))[1]


def _utf8(byte):
    """Of each byte `(n,)`: the length of the valid sequence that starts there, or 0; whether it is a
    later byte of one, 1 or 0; and the code point of the sequence.

    No byte but a continuation is ever inside another's sequence, so that all are read at once.
    """
    after = tf.concat([byte, tf.zeros((3,), tf.int32)], 0)
    rest = [after[i : i - 3 or None] for i in range(1, 4)]
    follows = [tf.cast((b // 64) == 2, tf.int32) for b in rest]
    rest = [b % 64 for b in rest]
    codes = [
        (byte % 32) * 64 + rest[0],
        (byte % 16) * 4096 + rest[0] * 64 + rest[1],
        (byte % 8) * 262144 + rest[0] * 4096 + rest[1] * 64 + rest[2],
    ]
    is_two = _within(byte, 0xC2, 0xDF) * follows[0]
    is_three = _within(byte, 0xE0, 0xEF) * follows[0] * follows[1]
    is_three *= _within(codes[1], 0x800, 0xFFFF) * (1 - _within(codes[1], 0xD800, 0xDFFF))
    is_four = _within(byte, 0xF0, 0xF4) * follows[0] * follows[1] * follows[2]
    is_four *= _within(codes[2], 0x10000, 0x10FFFF)
    sequence = _within(byte, 0, 0x7F) + 2 * is_two + 3 * is_three + 4 * is_four
    code = byte * _within(byte, 0, 0x7F)
    code += codes[0] * is_two + codes[1] * is_three + codes[2] * is_four
    before = tf.concat([tf.zeros((3,), tf.int32), sequence], 0)
    is_covered = [tf.cast(before[3 - i : -i] > i, tf.int32) for i in range(1, 4)]
    return sequence, is_covered[0] + is_covered[1] + is_covered[2], code


def _bytes_of(code, num_bytes):
    """The four bytes of each character's UTF-8, of which `num_bytes` count."""
    digits = [code // 262144, code // 4096 % 64, code // 64 % 64, code % 64]
    one = [code, *3 * [tf.zeros_like(code)]]
    two = [0xC0 + digits[2], 0x80 + digits[3], *2 * [tf.zeros_like(code)]]
    three = [0xE0 + digits[1], 0x80 + digits[2], 0x80 + digits[3], tf.zeros_like(code)]
    four = [0xF0 + digits[0], *(0x80 + digit for digit in digits[1:])]
    choices = zip(one, two, three, four, strict=True)
    return [
        tf.minimum(
            tf.where(
                num_bytes <= 1,
                a,
                tf.where(num_bytes == 2, b, tf.where(num_bytes == 3, c, d)),
            ),
            255,
        )
        for a, b, c, d in choices
    ]


def _within(x, least, most):
    return tf.cast((x >= least) & (x <= most), tf.int32)


def _take(table, places):
    return tf.gather(tf.convert_to_tensor(table), places)


def _interleaved(columns):
    """`[a0, b0, …, a1, b1, …]` of columns `a`, `b`, …, each `(n,)`."""
    return tf.reshape(tf.concat([column[:, None] for column in columns], 1), (-1,))


def _compressed(values, is_kept, capacity=None, least=1):
    """The values where `is_kept` is 1, then zeros up to `capacity` or `least`; and their number."""
    place = tf.cumsum(is_kept) - is_kept
    number = tf.reduce_sum(is_kept)
    size = tf.maximum(number, least)
    if capacity is not None:
        is_kept = is_kept * tf.cast(place < capacity, tf.int32)
        number, size = tf.minimum(number, capacity), tf.constant(capacity)
    # What is not kept adds zero to the first.
    found = tf.scatter_nd(
        tf.reshape(place * is_kept, (-1, 1)),
        tf.cast(values, tf.int32) * is_kept,
        tf.reshape(size, (1,)),
    )
    return tf.cast(found, values.dtype), number
