"""SentencePiece as a graph of built-in TFLite ops: UTF-8 bytes to ids and back.

The ids equal those of the `Tokenizer`: Viterbi search over unigram scores in float32 (Kudo 2018,
https://arxiv.org/abs/1804.10959), with byte fallback. Both ends are stripped as by `unicode.clean`.
The caller applies NFC normalization.
"""

import numpy as np
import tensorflow as tf
from keras import ops

from ..runtime.tokenizer import Tokenizers
from ..runtime.unicode import STRIPPED
from .sentencepiece_tables import IMPOSSIBLE, PAGE, REPLACEMENT, SPACE, TextTables

_STRIPPED = np.array([list(map(ord, STRIPPED))], np.int32)


class TextGraph:
    """Tokenizers as TensorFlow functions that convert to built-in TFLite ops.

    Args:
        tokenizer: The `Tokenizer` to reproduce, or `Tokenizers`: `tokenize` reproduces that of the
            source, `detokenize` that of the target.

    Raises:
        ValueError: A tokenizer is not a unigram model with byte fallback, or normalizes text.

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
        tokenizers = Tokenizers.of(tokenizer)
        self.source = self.target = TextTables(tokenizers.source.model_bytes)
        if not tokenizers.are_shared:
            self.target = TextTables(tokenizers.target.model_bytes)

    def tokenize(self, text, length=None, capacity=None):
        """Encode text as ids, without start and end.

        Whitespace and byte order marks at both ends are stripped. Blank text has no ids.

        Args:
            text: uint8 `(num_bytes,)`, UTF-8. An invalid byte is read as U+FFFD.
            length: Number of bytes to read. Default: all.
            capacity: Maximum number of ids in a graph with static shapes; further ids are dropped.
                Default: no limit.

        Returns:
            The ids, int32 `(max(1, number),)`, or `(capacity,)` padded with zeros; and their number.
        """
        code, num_bytes = self._characters(text, length, capacity is not None)
        ids, number = self._ids(code, num_bytes, capacity)
        return ids, number if capacity is None else tf.minimum(number, capacity)

    def detokenize(self, ids, length=None, capacity=None):
        """Decode ids to text.

        Args:
            ids: int32 `(num_ids,)`. Control ids such as start and end produce no text.
            length: Number of ids to read. Default: all.
            capacity: Maximum number of bytes, as in `tokenize`, at least 4; a character that does
                not fit is dropped as a whole.

        Returns:
            UTF-8 text, uint8 `(max(1, number),)`, or `(capacity,)` padded with zeros; and the number
            of bytes.
        """
        tables = self.target
        ids = tf.cast(ids, tf.int32)
        position = tf.range(tf.size(ids))
        counts = tf.ones_like(ids) if length is None else tf.cast(position < length, tf.int32)
        has_text = counts * (1 - _take(tables.is_control.astype(np.int32), ids))
        is_byte = has_text * _take(tables.is_byte.astype(np.int32), ids)
        byte = is_byte * _take(tables.byte_of, ids)
        # Other pieces count as an ASCII byte here, which terminates a UTF-8 sequence.
        sequence, is_covered, _ = _utf8(byte)
        is_invalid = is_byte * tf.cast(sequence == 0, tf.int32) * (1 - is_covered)
        replacement = len(tables.offset) - 1
        ids = tf.where(is_invalid > 0, replacement, ids)
        offset, size = _take(tables.offset, ids), _take(tables.length, ids) * has_text
        if tables.has_dummy_prefix:
            # Remove the space of the dummy prefix.
            is_first = has_text * tf.cast(tf.cumsum(has_text) == 1, tf.int32)
            first_byte = tf.cast(_take(tables.bytes, offset), tf.int32)
            is_piece = 1 - _take(
                np.append(tables.is_byte | tables.is_unknown, False).astype(np.int32), ids
            )
            drop = is_first * is_piece * tf.cast(first_byte == ord(" "), tf.int32)
            offset, size = offset + drop, size - drop
        slots = tf.range(tables.max_bytes)[None]
        is_used = tf.cast(slots < tf.reshape(size, (-1, 1)), tf.int32)
        indices = tf.reshape(tf.reshape(offset, (-1, 1)) + slots, (-1,))
        text, number = _compressed(
            tf.cast(_take(tables.bytes, indices), tf.int32), tf.reshape(is_used, (-1,)), capacity
        )
        if capacity is not None:
            number = fitting_bytes(text, number, capacity)
            text *= tf.cast(tf.range(capacity) < number, tf.int32)
        return tf.cast(text, tf.uint8), number

    def _characters(self, text, length, is_static):
        """Split text into characters, and strip both ends.

        Returns:
            Code points `(num_characters,)`, the dummy prefix included; and the number of bytes of
            each, 0 at padding. With `is_static`, padded to the maximum number.
        """
        text = tf.cast(text, tf.int32)
        counts = tf.ones_like(text)
        if length is not None:
            counts = tf.cast(tf.range(tf.size(text)) < length, tf.int32)
        text = text * counts
        sequence, is_covered, code = _utf8(text)
        is_start = counts * (1 - is_covered)
        code = tf.where(sequence > 0, code, ord(REPLACEMENT))
        is_text = tf.reduce_all(tf.reshape(code, (-1, 1)) != _STRIPPED, axis=1)
        is_text = tf.cast(is_text, tf.int32) * is_start
        for is_reverse in (False, True):  # strip what no text precedes, then what none follows
            is_start *= tf.minimum(tf.cumsum(is_text, reverse=is_reverse), 1)
        num_bytes = tf.where(sequence > 0, sequence, len(REPLACEMENT.encode()))
        num_bytes = tf.where(code == ord(" "), len(SPACE.encode()), num_bytes)
        code = tf.where(code == ord(" "), ord(SPACE), code)
        capacity = text.shape[0] if is_static else None
        code, number = _compressed(code, is_start, capacity)
        num_bytes, _ = _compressed(num_bytes, is_start, capacity)
        if self.source.has_dummy_prefix:
            # Empty text has no prefix: its place is padding.
            is_nonempty = tf.reshape(tf.minimum(number, 1), (1,))
            code = tf.concat([is_nonempty * ord(SPACE), code], 0)
            num_bytes = tf.concat([is_nonempty * len(SPACE.encode()), num_bytes], 0)
        return code, num_bytes

    def _ids(self, code, num_bytes, capacity):
        """Ids of the best segmentation of characters, and their number."""
        tables = self.source
        scores, pieces = self._matches(code)
        longest = self._best_lengths(scores)
        is_last = _last_characters(longest, num_bytes)
        # Each character that ends a piece emits the piece, or its bytes where there is no piece.
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
        """Scores and ids of the pieces that end at each character, `(num_characters, max_length)` each.

        The longest piece comes first, because SentencePiece breaks ties by the earliest start.
        """
        tables = self.source
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
            # Shift from the character where a piece starts to the one where it ends.
            pieces.append(tf.concat([tf.fill([i], -1), piece], 0)[:size][None])
            scores.append(tf.concat([tf.fill([i], IMPOSSIBLE), score], 0)[:size][None])
        return tf.transpose(tf.concat(scores[::-1], 0)), tf.transpose(tf.concat(pieces[::-1], 0))

    def _best_lengths(self, scores):
        """Length of the last piece of the best segmentation up to each character, `(num_characters,)`."""
        width, size = self.source.max_length, tf.shape(scores)[0]
        # The best score up to each character; the empty segmentation before the first scores zero.
        best = tf.concat([tf.fill([width - 1], IMPOSSIBLE), [0.0], tf.zeros((size,))], 0)

        def one_character(i, best):
            sums = best[i : i + width] + scores[i]
            best_sum = tf.reduce_max(sums, keepdims=True)
            return i + 1, ops.slice_update(best, [i + width], best_sum)

        _, best = tf.while_loop(lambda i, _: i < size, one_character, (0, best))
        sums = [(best[i : i + size] + scores[:, i])[:, None] for i in range(width)]
        return width - tf.argmax(tf.concat(sums, 1), axis=1, output_type=tf.int32)


def _last_characters(longest, num_bytes):
    """Backtrack the best segmentation; return 1 at characters that end a piece, 0 at others."""
    is_last = tf.zeros_like(longest)

    def one_piece(i, is_last):
        is_last = ops.slice_update(is_last, [i - 1], tf.constant([1]))
        return i - longest[i - 1], is_last

    number = tf.reduce_sum(tf.cast(num_bytes > 0, tf.int32))
    return tf.while_loop(lambda i, _: i > 0, one_piece, (number, is_last))[1]


def _utf8(byte):
    """Decode UTF-8 at every byte at once, which works because sequences never overlap.

    Returns:
        For each byte `(n,)`: the length of the valid sequence that starts there, or 0; 1 if it is a
        later byte of a sequence, else 0; and the sequence's code point.
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
    """The UTF-8 bytes of each character, padded to four; the first `num_bytes` are valid."""
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


def _within(x, low, high):
    return tf.cast((x >= low) & (x <= high), tf.int32)


def _take(table, indices):
    return tf.gather(tf.convert_to_tensor(table), indices)


def _interleaved(columns):
    """Interleave columns `a`, `b`, … `(n,)` as `[a0, b0, …, a1, b1, …]`."""
    return tf.reshape(tf.concat([column[:, None] for column in columns], 1), (-1,))


def _compressed(values, is_kept, capacity=None):
    """Keep the int32 values where `is_kept` is 1.

    Returns:
        The values, padded with zeros to at least one, or padded or cut to `capacity`; and the number
        of values before the cut.
    """
    position = tf.cumsum(is_kept) - is_kept
    number = tf.reduce_sum(is_kept)
    size = tf.maximum(number, 1)  # a runtime cannot return an empty tensor
    if capacity is not None:
        is_kept = is_kept * tf.cast(position < capacity, tf.int32)
        size = tf.constant(capacity)
    # Dropped values add zero to the first.
    kept = tf.scatter_nd(
        tf.reshape(position * is_kept, (-1, 1)), values * is_kept, tf.reshape(size, (1,))
    )
    return kept, number


def fitting_bytes(text, number, capacity):
    """Number of bytes, at most `capacity` (at least 4), that `number` bytes of valid UTF-8 are cut to.

    No character is cut.
    """
    last = tf.gather(text, tf.minimum(tf.range(capacity - 3, capacity), tf.size(text) - 1))
    last = tf.cast(last, tf.int32)
    # The bytes of the character that begins at each of the last three, and those that have room.
    needed = 2 * tf.cast(last >= 0xC0, tf.int32)
    needed += tf.cast(last >= 0xE0, tf.int32) + tf.cast(last >= 0xF0, tf.int32)
    room = tf.constant([3, 2, 1])
    dropped = tf.reduce_sum(room * tf.cast(needed > room, tf.int32))
    return tf.where(number > capacity, capacity - dropped, number)
