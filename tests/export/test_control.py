"""Control of decoding, streaming, scores and alignments of a runner, over text."""

import io
import random

import numpy as np
import pytest
import sentencepiece

from seq2lite import export, zoo
from seq2lite.export.runtime.text import stream_text
from seq2lite.zoo import plot

TEXTS = ["Open File", "Close all editors in this group.", "", "검색", "Save As..."]


@pytest.fixture(scope="module")
def runner(bundle):
    return export.load(bundle)


def zoo_texts(runner, model, search, texts, limit=12, **options):
    """The targets of a search in Keras, one text at a time."""
    found = []
    for text, ids in zip(texts, runner.source_ids(texts), strict=True):
        tokens, lengths, *_ = (
            search(model, np.array([ids]), limit, **options) if ids else ([[]], [0])
        )
        row = np.array(tokens).reshape(-1)[: int(np.array(lengths).ravel()[0])]
        found.append(runner.tokenizers.target.decode([row])[0] if text else "")
    return found


def ids_of(runner, text):
    return np.array(runner.tokenizers.target.encode([text]))


CONTROL = (
    {"no_repeat_ngram": 1},
    {"repetition_penalty": 2.0, "min_length": 4},
    {"banned_tokens": range(4, 500)},
)


@pytest.mark.parametrize("options", CONTROL, ids=str)
def test_a_runner_controls_decoding_as_the_zoo_does(runner, tiny_model, options):
    greedy = zoo_texts(runner, tiny_model, zoo.greedy_search, TEXTS, **options)
    assert runner.generate(TEXTS, num_beams=1, **options) == greedy
    assert runner.generate(TEXTS, num_beams=1) != greedy
    beam = {"num_beams": 3, "length_penalty": runner.search["length_penalty"]}
    expected = zoo_texts(runner, tiny_model, zoo.beam_search, TEXTS, **beam, **options)
    assert runner.generate(TEXTS, **options) == expected  # the bundle's search has three beams
    assert [found[0][0] for found in runner.generate_beam(TEXTS, **options)] == expected


def test_targets_of_a_runner_begin_with_a_prefix(runner, tiny_model):
    prefix = "파일"
    options = {"num_beams": 1, "prefix": prefix}
    found = runner.generate(TEXTS, **options)
    expected = zoo_texts(
        runner, tiny_model, zoo.greedy_search, TEXTS, prefix=ids_of(runner, prefix)
    )
    assert found == expected
    assert all(text.startswith(prefix) for text, source in zip(found, TEXTS, strict=True) if source)
    # A text for each source, in the order of the sources, with "" for none.
    each = ["파일", "", "", "열기", "모두 닫기"]
    for search in (
        lambda **o: runner.generate(TEXTS, num_beams=1, **o),
        lambda **o: [best[0][0] for best in runner.generate_beam(TEXTS, **o)],
        lambda **o: runner.sample(TEXTS, seed=1, **o),
    ):
        found = search(prefix=each)
        assert all(text.startswith(start) for text, start in zip(found, each, strict=True) if text)
        assert found[1] == search()[1]


def test_samples_of_a_runner_keep_the_constraints(runner, monkeypatch):
    found, banned = set(), set(range(4, 500))

    def collect(tokenizer, tokens, lengths):
        found.update(int(i) for row, n in zip(tokens, lengths, strict=True) for i in row[:n])
        return [""] * len(tokens)

    monkeypatch.setattr("seq2lite.export.runtime.runner.decode", collect)
    runner.sample(["Open File"] * 20, seed=1)
    assert found & banned
    found.clear()
    runner.sample(["Open File"] * 20, seed=1, banned_tokens=range(4, 500))
    assert len(found) > 20 and not found & banned


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefix": ["a"]}, "`prefix` must be a text, or a text for each of 5 sources"),
        ({"prefix": 5}, "`prefix` must be a text"),
        ({"min_length": 13}, "`min_length` must be at most max_length=12"),
        ({"banned_tokens": [10**6]}, "`banned_tokens` must be ids in"),
        ({"no_repeat_ngram": -1}, "`no_repeat_ngram` must be a non-negative"),
        ({"prefix": "열기 " * 12}, "`prefix` must be at most max_length=12"),
    ],
    ids=str,
)
def test_a_wrong_constraint_is_named(runner, options, message):
    for search in (runner.generate, runner.generate_beam, runner.sample):
        with pytest.raises(ValueError, match=message):
            search(TEXTS, **options)
    if options != {"prefix": ["a"]}:
        with pytest.raises(ValueError, match=message):
            runner.stream(TEXTS[0], **options)


def test_a_misspelled_option_is_named(runner):
    message = (
        r"options of `%s` must be among .*max_length.*Received: max_lenght=3\. Did you mean `max_le"
    )
    for search in (runner.generate, runner.generate_beam, runner.sample):
        with pytest.raises(TypeError, match=message % search.__name__):
            search(TEXTS, max_lenght=3)
    with pytest.raises(TypeError, match=message % "stream"):
        runner.stream(TEXTS[0], max_lenght=3)
    host, source = runner.engine.host_search(), np.array([[5, 3]])
    for search in (host.greedy, host.beam, host.sample, host.stream):
        with pytest.raises(TypeError, match="Did you mean `no_re"):
            search(source, 3, no_repeat_ngrams=2)


def test_a_length_penalty_of_greedy_search_is_checked(runner):
    with pytest.raises(ValueError, match="`length_penalty` must be a finite number"):
        runner.generate(TEXTS, num_beams=1, length_penalty=float("nan"))


def test_sentences_have_no_common_prefix(runner):
    with pytest.raises(ValueError, match="`prefix` must be None with split=True"):
        runner.generate(TEXTS, split=True, prefix="파일")


@pytest.mark.parametrize("options", [{}, *CONTROL, {"prefix": "파일", "max_length": 7}], ids=str)
def test_a_stream_is_the_greedy_target_in_parts(runner, options):
    for text, expected in zip(TEXTS, runner.generate(TEXTS, num_beams=1, **options), strict=True):
        parts = list(runner.stream(text, **options))
        assert "".join(parts) == expected
        assert all(parts)


def test_a_stream_yields_before_the_target_is_complete(runner, monkeypatch):
    steps, step = [], runner.engine.decode_step
    monkeypatch.setattr(
        runner.engine, "decode_step", lambda *a, **k: steps.append(1) or step(*a, **k)
    )
    number = [len(steps) for _ in runner.stream("Open File", no_repeat_ngram=1)]
    assert len(number) > 2 and number == sorted(set(number))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model_type": "bpe"},
        {"treat_whitespace_as_suffix": True},
        {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    ],
    ids=str,
)
def test_a_stream_never_takes_back_what_it_has_yielded(options, pairs):
    """Any ids, of which many are bytes: joined, the parts are the decoded ids."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(text for pair in pairs for text in pair),
        model_writer=model,
        vocab_size=900,
        byte_fallback=True,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        minloglevel=2,
        **options,
    )
    tokenizer, rng = export.Tokenizer(model.getvalue()), random.Random(0)
    for _ in range(400):
        ids = [
            rng.randrange(900) if rng.random() < 0.6 else rng.randrange(4, 260) for _ in range(9)
        ]
        ids += tokenizer.encode(["한국어 😀 漢字 e\u0301"])[0]
        parts = list(stream_text(tokenizer, ids))
        assert "".join(parts) == tokenizer.decode([ids])[0]
        assert all(parts)
    parts = list(stream_text(tokenizer, tokenizer.encode(["한국어 😀 漢字"])[0]))
    assert "".join(parts).strip() == "한국어 😀 漢字" and "\ufffd" not in "".join(parts)


TARGETS = ["파일 열기", "이 그룹의 모든 편집기 닫기", "", "검색", ""]


def test_scores_of_a_runner_are_those_of_the_zoo(runner, tiny_model):
    scored = runner.score(TEXTS, TARGETS, batch_size=2)
    for text, target, score in zip(TEXTS, TARGETS, scored, strict=True):
        if not text:
            assert (score.log_probability, score.tokens) == (0, [])
            continue
        ids = [*runner.tokenizers.target.encode([target])[0], tiny_model.end_id]
        total, each = zoo.score(tiny_model, np.array(runner.source_ids([text])), np.array([ids]))
        assert score.log_probability == pytest.approx(float(total[0]), abs=1e-4)
        np.testing.assert_allclose(score.token_log_probabilities, each[0], atol=1e-4)
        assert score.tokens == runner.tokenizers.target.subwords(ids)
        assert score.tokens[-1] == "</s>"
    assert runner.score([" "], ["a"])[0].log_probability == -np.inf


def test_alignments_of_a_runner_are_the_attention_of_the_zoo(runner, tiny_model):
    aligned = runner.align(TEXTS, TARGETS)
    for text, target, found in zip(TEXTS, TARGETS, aligned, strict=True):
        if not text:
            assert found.weights.size == 0
            continue
        source = np.array(runner.source_ids([text]))
        ids = runner.tokenizers.target.encode([target])[0]
        inputs = {"source": source, "target": np.array([[tiny_model.start_id, *ids]])}
        expected = tiny_model(inputs, return_attention=True)[1][0]
        np.testing.assert_allclose(found.weights, expected, atol=1e-5)
        assert found.weights.shape == (len(found.target), len(found.source))
        assert "".join(found.source).startswith("▁" + text.split()[0])
    assert plot.plot_alignment(*vars(aligned[0]).values()) is not None


def test_pairs_that_cannot_be_scored_are_named(runner, monkeypatch):
    with pytest.raises(ValueError, match="`targets` must be a text for each of the 2 sources"):
        runner.score(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="`texts` must be a list of str"):
        runner.score(["a"], "a")
    step = runner.engine.decode_step
    monkeypatch.setattr(
        runner.engine,
        "decode_step",
        lambda *a, **k: {n: x for n, x in step(*a, **k).items() if n != "attention"},
    )
    with pytest.raises(ValueError, match=r"`attention=True`\. Received: .* without them"):
        runner.align(["Open File"], ["파일"])
    assert runner.score(["Open File"], ["파일"])[0].log_probability < 0
