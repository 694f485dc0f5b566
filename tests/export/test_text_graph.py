"""The tokenizer in the file equals SentencePiece on any text and any bytes."""

import io
import random

import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
from ai_edge_litert.compiled_model import CompiledModel

from seq2lite import export
from seq2lite.export.conversion.converter import convert
from seq2lite.export.conversion.saved_model import save
from seq2lite.export.runtime.interpreter import open_interpreter
from seq2lite.export.runtime.tokenizer import Tokenizer
from seq2lite.export.runtime.unicode import clean
from seq2lite.export.signatures.sentencepiece import TextGraph

HANGUL = [chr(c) for c in range(0xAC00, 0xD7A4)]
ODD = [
    "",
    " ",
    "   ",
    " two  spaces   three ",
    "\ttab\nnew line\r\n",
    "\u2581\u2581 \u2581a",
    "a\0b",
    "\ufeff\ufffd",
    "👩‍👩‍👧‍👦 🇰🇷 ☺️ 👍🏽",
    "ﬁ½①Å한글",
    "x" * 300,
]


def texts(rng, pairs):
    """Every Hangul syllable, random code points, real text and fragments of it."""
    yield from ODD
    syllables = HANGUL * 1
    rng.shuffle(syllables)
    yield from ("".join(syllables[i : i + 40]) for i in range(0, len(syllables), 40))
    for _ in range(150):
        codes = [rng.randrange(0x110000) for _ in range(rng.randrange(1, 12))]
        yield "".join(chr(c) for c in codes if not 0xD800 <= c < 0xE000)
    for source, target in pairs[:60]:
        yield source
        yield f"  {target[: rng.randrange(len(target) + 1)]} {source[rng.randrange(len(source)) :]}"


def noise(rng, pairs):
    """Bytes, mostly invalid UTF-8."""
    for _ in range(300):
        yield bytes(rng.randrange(256) for _ in range(rng.randrange(40)))
    for _, target in pairs[:100]:
        damaged = bytearray(target.encode())
        for _ in range(3):
            damaged[rng.randrange(len(damaged))] = rng.choice([0xE2, 0x80, 0xED, 0xF4, 0xC1, 0x20])
        yield bytes(damaged)


@pytest.fixture(scope="module")
def file(bundle):
    """The signatures of a bundle's file, by name."""
    interpreter = open_interpreter((bundle / "model.tflite").read_bytes(), 1, "model.tflite")
    return {
        name: interpreter.get_signature_runner(name)
        for name in ("translate", "tokenize", "detokenize")
    }


def ids_of(tokenizer, data):
    return tokenizer._processor.encode(data)


def text_of(tokenizer, ids):
    return tokenizer._processor.decode(ids).encode()


def cut(result, name):
    return result[name][: int(result["length"])]


def test_ids_and_text_equal_those_of_sentencepiece(file, tokenizer, pairs):
    rng = random.Random(0)
    for data in [*(text.encode() for text in texts(rng, pairs)), *noise(rng, pairs)]:
        expected = ids_of(tokenizer, data)
        found = cut(file["tokenize"](text=np.frombuffer(data, np.uint8)), "ids")
        assert found.tolist() == expected, data
        ids = np.array(expected, np.int32)
        assert cut(file["detokenize"](ids=ids), "text").tobytes() == text_of(tokenizer, expected)


def test_any_ids_decode_as_in_sentencepiece(file, tokenizer):
    """Invalid UTF-8 from byte pieces, control ids, a leading space."""
    rng = random.Random(1)
    for _ in range(300):
        most = rng.choice([tokenizer.vocabulary_size, 260])
        ids = [rng.randrange(most) for _ in range(rng.randrange(1, 20))]
        found = cut(file["detokenize"](ids=np.array(ids, np.int32)), "text")
        assert found.tobytes() == text_of(tokenizer, ids), ids


def test_no_output_is_an_empty_tensor(file):
    """A runtime cannot return one."""
    for name, inputs in (("tokenize", {"text": np.zeros(0, np.uint8)}), ("translate", {})):
        result = file[name](**(inputs or {"text": np.frombuffer(b" ", np.uint8)}))
        assert result["length"] == 0
        (values,) = (value for key, value in result.items() if key != "length")
        assert values.tolist() == [0]


@pytest.mark.filterwarnings("ignore:a text of")
def test_the_file_alone_translates_as_the_runner_does(file, bundle, pairs):
    """Including blank text, text that is too long, and emoji."""
    runner = export.load(bundle)
    sources = [source for source, _ in pairs[:8]]
    sources += ["", " \u3000\t", "menu " * 60, "🙂", *ODD[3:6]]
    expected = runner.generate(sources, batch_size=1, num_beams=1)
    for source, answer in zip(sources, expected, strict=True):
        data = np.frombuffer(clean(source).encode(), np.uint8)
        assert cut(file["translate"](text=data), "text").tobytes().decode() == answer
    assert len(set(expected)) > 5


MAX_BYTES, MAX_IDS = 96, 64


class Static(tf.Module):
    """Tokenizer and detokenizer with static shapes."""

    def __init__(self, graph):
        super().__init__()
        length = tf.TensorSpec((), tf.int32, name="length")

        @tf.function
        def tokenize(text, length):
            ids, number = graph.tokenize(text, length, MAX_IDS)
            return {"ids": ids, "number": number}

        @tf.function
        def detokenize(ids, length):
            text, number = graph.detokenize(ids, length, MAX_BYTES)
            return {"text": text, "number": number}

        text = tf.TensorSpec((MAX_BYTES,), tf.uint8, name="text")
        ids = tf.TensorSpec((MAX_IDS,), tf.int32, name="ids")
        self.functions = {
            "tokenize": tokenize.get_concrete_function(text, length),
            "detokenize": detokenize.get_concrete_function(ids, length),
        }


@pytest.mark.long
def test_a_graph_with_static_shapes_gives_the_same(tokenizer, pairs, tmp_path):
    """In the interpreter, and in CompiledModel, which requires static shapes."""
    save(Static(TextGraph(tokenizer)), tmp_path / "saved_model")
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(tmp_path / "saved_model"))
    interpreter = open_interpreter(path.read_bytes(), 1, "model.tflite")
    compiled = CompiledModel.from_file(str(path))

    def padded(values, size):
        return np.concatenate([values, np.zeros(size - len(values), values.dtype)])

    def both(name, values, given, size, taken):
        inputs = {given: padded(values, size), "length": np.array(len(values), np.int32)}
        found = interpreter.get_signature_runner(name)(**inputs)
        buffers = {key: compiled.create_input_buffer_by_name(name, key) for key in inputs}
        outputs = {key: compiled.create_output_buffer_by_name(name, key) for key in found}
        for key, value in inputs.items():
            buffers[key].write(value)
        compiled.run_by_name(name, buffers, outputs)
        for key, value in found.items():
            again = outputs[key].read(value.size, value.dtype.type)
            np.testing.assert_array_equal(again.reshape(value.shape), value)
        return found[taken][: int(found["number"])]

    for text in [*ODD, *(source for source, _ in pairs[:20])]:
        data = text.encode()[:MAX_BYTES]
        expected = ids_of(tokenizer, data)
        ids = both("tokenize", np.frombuffer(data, np.uint8), "text", MAX_BYTES, "ids")
        assert ids.tolist() == expected[:MAX_IDS]
        if len(expected) <= MAX_IDS:
            found = both("detokenize", np.array(expected, np.int32), "ids", MAX_IDS, "text")
            assert found.tobytes() == text_of(tokenizer, expected)[:MAX_BYTES]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "bpe"}, "a unigram model"),
        ({"byte_fallback": False}, "byte_fallback"),
        ({"normalization_rule_name": "nmt_nfkc"}, "normalization_rule_name='identity'"),
        ({"remove_extra_whitespaces": True}, "remove_extra_whitespaces=False"),
        ({"user_defined_symbols": ["<sep>"]}, "user-defined .* Received: .*<sep>"),
    ],
)
def test_a_tokenizer_that_the_graph_cannot_reproduce_is_refused(options, message, pairs):
    model = io.BytesIO()
    settings = {
        "model_type": "unigram",
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        **options,
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text for pair in pairs for text in pair]),
        model_writer=model,
        vocab_size=1000,
        hard_vocab_limit=False,
        pad_id=3,
        minloglevel=2,
        **settings,
    )
    with pytest.raises(ValueError, match=f"`tokenizer` must be (a model with(out)? )?{message}"):
        TextGraph(Tokenizer(model.getvalue()))
