"""The tokenizer in the file equals SentencePiece on any text and any bytes."""

import io
import random
import re
import unicodedata

import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter

from seq2lite import export
from seq2lite.export.conversion.converter import convert
from seq2lite.export.conversion.saved_model import save
from seq2lite.export.runtime.interpreter import open_interpreter
from seq2lite.export.runtime.tokenizer import Tokenizer
from seq2lite.export.runtime.unicode import STRIPPED, clean
from seq2lite.export.signatures.sentencepiece import TextGraph
from text_calls import inputs_of, result_of, translated

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
    """The text signatures of a bundle's file, by name."""
    interpreter = open_interpreter((bundle / "model.tflite").read_bytes(), 1, "model.tflite")
    names = ("translate", "translate_beam", "tokenize", "detokenize")
    return {name: interpreter.get_signature_runner(name) for name in names}


def ids_of(tokenizer, data):
    """The ids of SentencePiece for bytes, stripped as by `clean`."""
    blank = b"(?:%s)+" % b"|".join(re.escape(c.encode()) for c in STRIPPED)
    data = re.sub(rb"\A%s|%s\Z" % (blank, blank), b"", data)
    return tokenizer._processor.encode(data)


def text_of(tokenizer, ids):
    return tokenizer._processor.decode(ids).encode()


def called(run, data, name):
    return result_of(run(**inputs_of(run, data)), name)


def test_ids_and_text_equal_those_of_sentencepiece(file, tokenizer, pairs):
    rng = random.Random(0)
    for data in [*(text.encode() for text in texts(rng, pairs)), *noise(rng, pairs)]:
        expected = ids_of(tokenizer, data)
        assert called(file["tokenize"], data, "ids").tolist() == expected, data
        found = called(file["detokenize"], expected, "text")
        assert found.tobytes() == text_of(tokenizer, expected)


def test_the_ends_of_a_text_are_stripped_as_by_the_tokenizer(file, tokenizer):
    """All stripped characters in any mixture, and characters that look like them."""
    rng = random.Random(2)
    for _ in range(400):
        edges = ["".join(rng.choices(STRIPPED, k=rng.randrange(5))) for _ in range(4)]
        inner = rng.choice(
            ["", "Open", "\u200b", "\u2060a", "\x1bA", "\u2581", "\u0308b", "\0", "한"]
        )
        text = edges[0] + inner + edges[1] + rng.choice([inner, ""]) + edges[2]
        expected = tokenizer.encode([text])[0]
        data = unicodedata.normalize("NFC", text).encode()
        assert called(file["tokenize"], data, "ids").tolist() == expected, repr(text)
        if not expected:
            assert not clean(text) and translated(file["translate"], text) == ""


def test_any_ids_decode_as_in_sentencepiece(file, tokenizer):
    """Invalid UTF-8 from byte pieces, control ids, a leading space."""
    rng = random.Random(1)
    for _ in range(300):
        most = rng.choice([tokenizer.vocabulary_size, 260])
        ids = [rng.randrange(most) for _ in range(rng.randrange(1, 20))]
        found = called(file["detokenize"], ids, "text")
        assert found.tobytes() == text_of(tokenizer, ids), ids


def test_empty_and_blank_texts_have_a_length_of_zero(file):
    for name, key in (("tokenize", "ids"), ("translate", "text"), ("translate_beam", "text")):
        for data, numbers in ((b"", {}), (b" \n", {}), (b"", {"length": -5})):
            result = file[name](**inputs_of(file[name], data, **numbers))
            assert not result["length"].any() and not result[key].any()


@pytest.mark.filterwarnings("ignore:a text of")
def test_the_file_alone_translates_as_the_runner_does(file, bundle, pairs):
    """With the search of the bundle. Including blank text, text that is cut, and emoji."""
    runner = export.load(bundle)
    sources = [source for source, _ in pairs[:8]]
    sources += ["", " \u3000\t", "menu " * 60, "🙂", *ODD[3:6]]
    sources += ["\ufeffOpen File", " \ufeff\u3000Open File\u2028\ufeff\xa0"]
    for limit in (0, 5):
        options = {"max_length": limit or None, "batch_size": 1}
        expected = runner.generate(sources, **options)
        for source, best in zip(sources, expected, strict=True):
            assert translated(file["translate"], source, max_length=limit) == best
        for source, answers in zip(sources, runner.generate_beam(sources, **options), strict=True):
            found = translated(file["translate_beam"], source, max_length=limit)
            assert [*dict.fromkeys(found)] == [text for text, _ in answers]
    assert len(set(expected)) > 5


def test_the_scores_of_the_file_are_those_of_the_runner(file, bundle, pairs):
    runner, run = export.load(bundle), file["translate_beam"]
    for source, _ in pairs[:4]:
        (answers,) = runner.generate_beam([source])
        scores = run(**inputs_of(run, source.encode()))["scores"]
        assert scores[0] == pytest.approx(answers[0][1], abs=1e-4)
        assert scores.tolist() == sorted(scores, reverse=True)


def test_a_cut_is_told_by_a_negative_length(file, tokenizer):
    """The length is -1 minus that of the result, which is complete up to the cut."""
    translate, tokenize, detokenize = (file[k] for k in ("translate", "tokenize", "detokenize"))
    size, limit = translate.get_input_details()["text"]["shape"][0], 2 * 512
    assert size == 512 and detokenize.get_output_details()["text"]["shape"] == [limit]
    fits, too_long = b"a" + b" " * 511, b"a" + b" " * 512
    kept, cut = (translate(**inputs_of(translate, data)) for data in (fits, too_long))
    assert cut["length"] == -1 - kept["length"] <= -1 and (kept["text"] == cut["text"]).all()
    # More than `max_source_length` tokens.
    many = "menu open " * 50
    assert translate(**inputs_of(translate, many.encode()))["length"] < 0
    assert tokenize(**inputs_of(tokenize, many.encode()))["length"] > 40
    assert tokenize(**inputs_of(tokenize, too_long))["length"] == -1 - len(ids_of(tokenizer, b"a"))
    # Text that does not fit, with a character of two, three and four bytes at the cut.
    for character in ("é", "한", "🙂"):
        for shift in range(4):
            text = "a" * shift + character * 400
            ids = tokenizer.encode([text])[0][:512]
            expected = tokenizer.decode([ids])[0].encode()
            result = detokenize(**inputs_of(detokenize, ids))
            found = result_of(result).tobytes()
            if len(expected) <= limit:
                assert found == expected and result["length"] == len(expected)
                continue
            assert result["length"] < 0 and expected.startswith(found) and found.decode()
            assert limit - len(found) < len(character.encode())
            assert not result["text"][len(found) :].any()


@pytest.mark.parametrize("name", ["translate", "translate_beam", "tokenize", "detokenize"])
def test_compiled_model_runs_the_text_signatures(file, bundle, name, pairs):
    """It requires sizes that are known before a run."""
    run = file[name]
    compiled = CompiledModel.from_file(str(bundle / "model.tflite"))
    inputs = {
        key: compiled.create_input_buffer_by_name(name, key) for key in run.get_input_details()
    }
    outputs = {
        key: compiled.create_output_buffer_by_name(name, key) for key in run.get_output_details()
    }
    for text in [*(source for source, _ in pairs[:3]), "", "menu " * 200, *ODD[3:6]]:
        data = [5, 6, 7] if name == "detokenize" else text.encode()
        values = inputs_of(run, data)
        expected = run(**values)
        for key, value in values.items():
            inputs[key].write(np.atleast_1d(value))
        compiled.run_by_name(name, inputs, outputs)
        for key, value in expected.items():
            found = outputs[key].read(value.size, value.dtype.type).reshape(value.shape)
            np.testing.assert_allclose(found, value, rtol=1e-5)


def test_a_host_without_signatures_runs_translate(file, bundle, pairs):
    """Its first graph is the main one; inputs and outputs are known by their tensors' names."""
    interpreter = Interpreter(model_path=str(bundle / "model.tflite"))
    interpreter.allocate_tensors()
    for source, _ in pairs[:3]:
        values = inputs_of(file["translate"], source.encode())
        for detail in interpreter.get_input_details():
            name = detail["name"].removeprefix("translate_").removesuffix(":0")
            interpreter.set_tensor(detail["index"], values[name])
        interpreter.invoke()
        found = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
        text, length = sorted(found, key=lambda value: -value.ndim)
        assert text[:length].tobytes().decode() == translated(file["translate"], source)


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
            text = text_of(tokenizer, expected)[:MAX_BYTES].decode(errors="ignore")
            assert found.tobytes().decode() == text


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
