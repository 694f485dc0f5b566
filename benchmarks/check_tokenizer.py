"""Compare the tokenizer in a file with SentencePiece: ids, text, time per string, size of the file.

    python benchmarks/check_tokenizer.py [--data my.tsv] [--vocabulary-size 8000]

Over 15,000 strings: all Hangul syllables, emoji, all kinds of spaces, random Unicode, random bytes,
corrupted text and real text. The first difference ends the program.
"""

import argparse
import random
import re
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from sentencepiece import SentencePieceProcessor

from seq2lite.export.conversion.converter import convert
from seq2lite.export.conversion.saved_model import save
from seq2lite.export.runtime.interpreter import open_interpreter
from seq2lite.export.runtime.unicode import STRIPPED
from seq2lite.export.signatures.sentencepiece import TextGraph
from seq2lite.export.tflite_file.rewrites import arranged
from seq2lite.recipes.data.pairs import read_pairs
from seq2lite.recipes.data.samples import VSCODE_TRAIN
from seq2lite.recipes.data.tokenizers import learn_tokenizer

EMOJI = ["👩‍👩‍👧‍👦", "🇰🇷", "☺️", "👍🏽", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️‍🔥"]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u200b", "\ufeff", "\u2581", "\0"]


class TextSignatures(tf.Module):
    """A module with the signatures `tokenize` and `detokenize` only."""

    def __init__(self, graph):
        super().__init__()
        text = tf.TensorSpec((None,), tf.uint8, name="text")
        ids = tf.TensorSpec((None,), tf.int32, name="ids")
        tokenize = tf.function(
            lambda text: dict(zip(("ids", "length"), graph.tokenize(text), strict=True))
        )
        detokenize = tf.function(
            lambda ids: dict(zip(("text", "length"), graph.detokenize(ids), strict=True))
        )
        self.functions = {
            "tokenize": tokenize.get_concrete_function(text),
            "detokenize": detokenize.get_concrete_function(ids),
        }


def sample_strings(pairs, rng):
    """Return the strings to compare: kind to list of bytes."""
    syllables = [chr(c) for c in range(0xAC00, 0xD7A4)]
    texts = [text for pair in pairs for text in pair]
    letters = [*EMOJI, *SPACES, "a", "Z", "9", "한", "글", "é", "日"]
    planes = [range(0x80), range(0x800), range(0x10000), range(0x110000)]

    def corrupt(data):
        data = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)

    return {
        "Hangul syllables": [s.encode() for s in syllables],
        "emoji, spaces and letters": [
            "".join(rng.choices(letters, k=rng.randrange(12))).encode() for _ in range(1500)
        ],
        "random Unicode": [
            "".join(
                chr(c)
                for c in rng.choices(rng.choice(planes), k=rng.randrange(20))
                if not 0xD800 <= c < 0xE000
            ).encode()
            for _ in range(1500)
        ],
        "random bytes": [bytes(rng.choices(range(256), k=rng.randrange(40))) for _ in range(500)],
        "corrupted text": [corrupt(text.encode()) for text in rng.sample(texts, 500)],
        "real text": [text.encode() for text in rng.sample(texts, min(len(texts), 4000))],
    }


def stripped(data):
    """Strip the bytes of blank characters from both ends, as the graph does."""
    blank = b"(?:%s)+" % b"|".join(re.escape(c.encode()) for c in STRIPPED)
    return re.sub(rb"\A%s|%s\Z" % (blank, blank), b"", data)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        default=VSCODE_TRAIN,
        type=Path,
        help="pairs (default: the package's VS Code data)",
    )
    parser.add_argument(
        "--vocabulary-size", default=8000, type=int, help="number of subwords (default: 8000)"
    )
    options = parser.parse_args()
    pairs = read_pairs(options.data)
    tokenizer = learn_tokenizer([t for pair in pairs for t in pair], options.vocabulary_size)
    with tempfile.TemporaryDirectory() as folder:
        save(TextSignatures(TextGraph(tokenizer)), folder)
        content = arranged(convert(folder))
    print(f"{options.vocabulary_size:,} subwords: {len(content):,} bytes with both signatures")
    interpreter = open_interpreter(content, 1, "the file")
    tokenize = interpreter.get_signature_runner("tokenize")
    detokenize = interpreter.get_signature_runner("detokenize")
    reference = SentencePieceProcessor(model_proto=tokenizer.model_bytes)
    for kind, texts in sample_strings(pairs, random.Random(0)).items():
        times = []
        for data in texts:
            expected = reference.encode(stripped(data))
            start = time.perf_counter()
            result = tokenize(text=np.frombuffer(data, np.uint8))
            times.append(time.perf_counter() - start)
            ids = result["ids"][: int(result["length"])]
            if ids.tolist() != expected:
                raise SystemExit(
                    f"error: the ids of {data!r} must be {expected}. Received: {ids.tolist()}"
                )
            result = detokenize(ids=ids)
            text = result["text"][: int(result["length"])].tobytes()
            if text != (expected_text := reference.decode(expected).encode()):
                raise SystemExit(
                    f"error: the text of {expected} must be {expected_text!r}. Received: {text!r}"
                )
        size = statistics.mean(map(len, texts))
        median = 1e3 * statistics.median(times)
        print(f"{len(texts):6,} {kind}: equal; {size:.0f} bytes and {median:.2f} ms per string")


if __name__ == "__main__":
    main()
