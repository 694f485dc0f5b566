"""New subwords and tags of a tokenizer."""

import io

import numpy as np
import pytest
import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto, TrainerSpec

from seq2lite.export.runtime.tokenizer import Tokenizer
from seq2lite.export.signatures.sentencepiece import TextGraph
from seq2lite.recipes import translate
from seq2lite.recipes.data.extension import (
    MIN_COUNT,
    added_subwords,
    extend,
    extend_tokenizer,
    new_subwords,
)
from seq2lite.recipes.data.pairs import Pairs

DOMAIN = [
    "a zebra at #7;;",
    "two zebras at #7;;",
    "the zebra's tail, 뷁",
    "뷁 zebra #7;;",
    "𝛑 뷁 zebra",
]


def learned(texts, model_type, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        **{"model_type": model_type, "vocab_size": 800, "byte_fallback": True, "minloglevel": 2}
        | {"normalization_rule_name": "identity", "remove_extra_whitespaces": False, "pad_id": 3}
        | options,
    )
    return Tokenizer(model.getvalue())


@pytest.fixture(
    scope="module",
    params=[
        {"model_type": "unigram"},
        {"model_type": "bpe"},
        {"model_type": "unigram", "byte_fallback": False},
        {"model_type": "unigram", "treat_whitespace_as_suffix": True},
        {"model_type": "unigram", "normalization_rule_name": "nmt_nfkc"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def base(request, pairs):
    return learned([text for pair in pairs[:150] for text in pair], **request.param)


def test_new_subwords_shorten_new_text_and_leave_all_other_ids(base, pairs):
    texts = [text for pair in pairs[150:] for text in pair] + DOMAIN
    extended = extend_tokenizer(base, new_subwords(base, texts, 100))
    size = base.vocabulary_size
    assert extended.vocabulary_size == size + 100
    parts = added_subwords(base, extended)
    assert len(parts) == 100
    before, after = base.encode(texts), extended.encode(texts)
    assert sum(map(len, after)) < 0.85 * sum(map(len, before))
    for old, new in zip(before, after, strict=True):
        # Each new subword stands exactly where its own subwords stood.
        assert [i for n in new for i in ([n] if n < size else parts[n - size])] == old
    if base.decode(before) == list(texts):
        assert extended.decode(after) == base.decode(before)
    if ModelProto.FromString(base.model_bytes).trainer_spec.model_type == TrainerSpec.UNIGRAM:
        assert {i for ids in after for i in ids} >= {*range(size, size + 100)}


def test_a_new_subword_is_frequent_lies_within_a_word_and_has_one_kind_of_characters(tokenizer):
    texts = [*DOMAIN, "the zebra's tail"]
    found = new_subwords(tokenizer, texts, 100)
    assert "▁zebra" in found and "#7;;" in {piece.strip("▁") for piece in found}
    assert "▁뷁" in found and "𝛑" not in "".join(found)  # occurs once
    assert not any("'" in piece and any(map(str.isalpha, piece)) for piece in found)
    for piece in found:
        assert sum(text.count(piece.replace("▁", "")) for text in texts) >= MIN_COUNT
        assert "▁" not in piece[1:]
    assert new_subwords(tokenizer, texts[::-1], 100) == found
    assert len(new_subwords(tokenizer, DOMAIN, 2)) == 2
    assert new_subwords(tokenizer, [], 5) == []


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_a_tag_is_one_subword_wherever_it_occurs(pairs, model_type):
    texts = [text for pair in pairs[:150] for text in pair]
    base = learned(texts, model_type)
    tags = ("<ko>", "<2de>")
    extended = extend_tokenizer(base, tags=tags)
    ids = [base.vocabulary_size, base.vocabulary_size + 1]
    for text in ("<ko> Open the file", "Open<ko><ko>", "<2de>", "파일<ko>을 <2de>"):
        (found,) = extended.encode([text])
        assert [i for i in found if i in ids] == [
            ids[tags.index(tag)] for tag in text.replace("<", " <").replace(">", "> ").split()
            if tag in tags
        ]  # fmt: skip
        assert extended.decode([found]) == [text]
    assert extended.encode(texts) == base.encode(texts)
    assert extend_tokenizer(extended, tags=tags).model_bytes == extended.model_bytes
    tagged = [f"<ko> {text}" for text in texts]
    assert not any("<" in piece for piece in new_subwords(extended, tagged, 50, keep=tags))


def test_files_can_contain_an_extended_tokenizer(tokenizer):
    extended = extend_tokenizer(tokenizer, new_subwords(tokenizer, DOMAIN, 20), ["<ko>"])
    graph = TextGraph(extended)  # raises for a model that the ops of a file cannot run
    for text in ("the zebra's tail, 뷁", "<ko>#7;; zebra <ko>", "Open the file"):
        (expected,) = extended.encode([text])
        ids, _ = graph.tokenize(np.frombuffer(text.encode(), np.uint8))
        assert ids.numpy().tolist() == expected
        content, _ = graph.detokenize(ids)
        assert content.numpy().tobytes().decode() == text
    assert expected == tokenizer.encode([text])[0]


def test_a_tokenizer_of_words_is_not_extended(pairs):
    base = learned([text for pair in pairs for text in pair], "char", byte_fallback=False)
    with pytest.raises(
        ValueError, match=r"must be .* unigram or BPE to be extended. Received: CHAR"
    ):
        extend_tokenizer(base, ["▁zebra"])


def test_each_side_is_extended_by_its_own_text(pairs, tokenizer, capsys):
    other = learned([target for _, target in pairs], "unigram", pad_id=0, eos_id=3, bos_id=2, unk_id=1)  # fmt: skip
    data = Pairs([("zebra zebra", "뷁뷁 뷁뷁")] * 2)
    config = translate.Config.of(tags=("<ko>",))
    assert extend(tokenizer, data, translate.Config()) is tokenizer
    source, target = extend((tokenizer, other), data, config)
    assert source.encode(["<ko>"])[0][-1] == tokenizer.vocabulary_size
    assert target.encode(["<ko>"])[0][-1] == other.vocabulary_size
    assert "and 1 new ones; the training text has" in capsys.readouterr().out
