"""`export.load`: what a device runs, and what it says of a bundle that is not whole."""

import json
import shutil
import subprocess
import sys
import unicodedata

import numpy as np
import pytest

from seq2lite import export, zoo
from seq2lite.export.runtime import Runner

ODD = [
    "",
    "   ",
    "\t\u3000\u00a0",
    "🙂 👩‍👩‍👧 🇰🇷",
    "a\0b",
    "\0",
    "\ufeff",
    "ﬁ½①",
    "x" * 3000,
    "a\nb",
]


@pytest.fixture(scope="module")
def runner(bundle):
    return export.load(bundle)


@pytest.fixture
def copy(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "copy")


@pytest.mark.filterwarnings("ignore:a text of")
def test_any_text_gives_text(runner):
    results = runner.generate(ODD, max_length=6)
    assert all(isinstance(result, str) for result in results)
    assert results[:3] == ["", "", ""]  # blank text needs no model


def test_the_answer_to_a_text_does_not_depend_on_its_company(runner, pairs):
    texts = [source for source, _ in pairs[:20] if len(source) < 40]
    together = runner.generate(texts, batch_size=7)
    assert together == [runner.generate([text])[0] for text in texts]
    assert len(set(together)) > 2


def test_decomposed_hangul_is_the_same_text(runner):
    text = "파일 열기"
    decomposed = unicodedata.normalize("NFD", text)
    assert decomposed != text
    assert runner.source_ids([decomposed]) == runner.source_ids([text])
    assert runner.generate([decomposed]) == runner.generate([text])


def test_a_text_that_is_too_long_is_cut_with_a_warning(runner):
    long = "menu " * 60
    with pytest.warns(UserWarning, match=r"a text of \d+ tokens is cut to 39") as warned:
        results = runner.generate([long, "Open File"])
    assert len(warned) == 1
    cut = runner.tokenizer.decode([runner.source_ids([long])[0][:-1]])
    assert results[0] == runner.generate(cut)[0]


def test_a_text_of_just_the_limit_is_not_cut(runner, recwarn):
    ids = [*runner.tokenizer.encode(["menu " * 60])[0][:39]]
    text = runner.tokenizer.decode([ids])[0].strip()
    assert len(runner.tokenizer.encode([text])[0]) == 39
    runner.generate([text])
    assert not recwarn


def test_max_length_bounds_the_answer(runner, pairs):
    texts = [source for source, _ in pairs[:5]]
    long, short = runner.generate(texts, max_length=12), runner.generate(texts, max_length=2)
    assert all(a.startswith(b) for a, b in zip(long, short, strict=True))
    assert long != short


def test_the_beams_of_the_file_are_the_zoos(runner, tiny_model, tokenizer, pairs):
    """Each with its score, the best first; blank text has one."""
    texts = ["", *(source for source, _ in pairs[:6])]
    results = runner.generate_beam(texts, batch_size=4)
    assert results[0] == [("", 0.0)]
    for text, found in zip(texts[1:], results[1:], strict=True):
        tokens, lengths, scores = zoo.beam_search(
            tiny_model, np.array(runner.source_ids([text])), 12, num_beams=3, num_hypotheses=3
        )
        rows = [row[:n] for row, n in zip(tokens[0].numpy(), lengths[0].numpy(), strict=True)]
        assert [target for target, _ in found] == tokenizer.decode(rows)
        np.testing.assert_allclose([score for _, score in found], scores[0], atol=1e-4)
    assert len({target for beams in results for target, _ in beams}) > 6


def test_beams_are_refused_where_the_file_has_none(runner):
    without = Runner(runner.description, runner.tokenizer, runner.generate_ids)
    with pytest.raises(ValueError, match="must have the signature `generate_beam`"):
        without.generate_beam(["Open File"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": "Open File"}, "`texts` must be a list of str. Received: 'Open File'"),
        ({"texts": [b"x"]}, "`texts` must be a list of str"),
        ({"texts": ["\ud800"]}, "`texts` must be Unicode text"),
        ({"texts": ["x"], "max_length": 0}, "`max_length` must be a positive integer. Received: 0"),
        ({"texts": ["x"], "max_length": 10**6}, "`max_length` must be at most 65,536"),
        ({"texts": ["x"], "batch_size": 1.5}, "`batch_size` must be a positive integer"),
    ],
)
def test_a_wrong_argument_is_named(runner, arguments, message):
    with pytest.raises(ValueError, match=message):
        runner.generate(**arguments)


def test_no_text_gives_no_answers(runner):
    assert runner.generate([]) == []


# TensorFlow and what comes with it fail to import, as where they are not installed.
ALONE = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {"tensorflow", "keras", "sacrebleu", "rich", "jax", "torch"}:
            raise ModuleNotFoundError(f"{name} was imported")

sys.meta_path.insert(0, Refuse())
from seq2lite import export
answers = export.load(sys.argv[1]).generate(["Open File", "파일"])
assert len(answers) == 2, answers
from seq2lite.export.golden import check_golden
print(check_golden(sys.argv[1]))
assert not {"tensorflow", "keras"} & set(sys.modules), sorted(sys.modules)
"""


def test_it_imports_neither_tensorflow_nor_keras(bundle):
    done = subprocess.run(
        [sys.executable, "-c", ALONE, bundle],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "golden sentences" in done.stdout


def damage(copy, how):
    model = copy / "model.tflite"
    if how == "truncated model":
        model.write_bytes(model.read_bytes()[:-1000])
    elif how == "empty model":
        model.write_bytes(b"")
    elif how == "missing model":
        model.unlink()
    elif how == "missing tokenizer":
        (copy / "tokenizer.model").unlink()
    elif how == "another tokenizer":
        (copy / "tokenizer.model").write_bytes(b"another one")
    elif how == "missing description":
        (copy / "bundle.json").unlink()
    elif how == "half a description":
        text = (copy / "bundle.json").read_text("utf-8")
        (copy / "bundle.json").write_text(text[: len(text) // 2], "utf-8")
    elif how == "empty description":
        (copy / "bundle.json").write_text("{}")
    elif how == "later format":
        description = json.loads((copy / "bundle.json").read_text("utf-8"))
        description["format"] = 99
        (copy / "bundle.json").write_text(json.dumps(description), "utf-8")


DAMAGES = {
    "truncated model": r"model.tflite is damaged or of another bundle",
    "empty model": r"model.tflite is damaged or of another bundle",
    "missing model": r"model.tflite cannot be read: No such file",
    "missing tokenizer": r"tokenizer.model cannot be read: No such file",
    "another tokenizer": r"tokenizer.model is damaged or of another bundle",
    "missing description": r"is no bundle: there is no .*bundle.json",
    "half a description": r"bundle.json is damaged",
    "empty description": r"bundle.json is damaged",
    "later format": r"bundle.json must be of format 1.* Received: format 99",
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_bundle_is_named(copy, how):
    damage(copy, how)
    with pytest.raises(export.BundleError, match=DAMAGES[how]):
        export.load(copy)


def test_parts_of_two_bundles_are_refused_even_with_their_own_checksums(copy, tokenizer):
    """A tokenizer of another size, with a bundle.json made to match: ids would be wrong."""
    from hashlib import sha256

    from seq2lite.recipes.text import learn_tokenizer

    other = learn_tokenizer(["open the file menu", "파일 메뉴 열기"] * 50, 279)
    assert other.vocabulary_size != tokenizer.vocabulary_size
    (copy / "tokenizer.model").write_bytes(other.model_bytes)
    description = json.loads((copy / "bundle.json").read_text("utf-8"))
    description["sha256"]["tokenizer.model"] = sha256(other.model_bytes).hexdigest()
    (copy / "bundle.json").write_text(json.dumps(description), "utf-8")
    with pytest.raises(
        export.BundleError,
        match=r"tokenizer.model must be the one that .*: 1000, .* Received: .*: 279,",
    ):
        export.load(copy)


def test_an_unreadable_model_under_a_matching_checksum_is_refused(copy):
    from hashlib import sha256

    content = (copy / "model.tflite").read_bytes()[:2000]
    (copy / "model.tflite").write_bytes(content)
    description = json.loads((copy / "bundle.json").read_text("utf-8"))
    description["sha256"]["model.tflite"] = sha256(content).hexdigest()
    (copy / "bundle.json").write_text(json.dumps(description), "utf-8")
    with pytest.raises(export.BundleError, match="is no TFLite file that this runtime can run"):
        export.load(copy)


@pytest.mark.parametrize("threads", [0, -1, "2"])
def test_a_wrong_number_of_threads_is_named(bundle, threads):
    with pytest.raises(ValueError, match="`num_threads` must be a positive integer"):
        export.load(bundle, num_threads=threads)


def test_samples_are_kerass_of_the_same_draws(bundle, tiny_model, tokenizer):
    texts = ["Open File", "", "Close all of the editors", "Save"]
    runner = export.load(bundle)
    found = runner.sample(texts, top_k=20, seed=3, max_length=6)
    draws = np.random.default_rng(3).random((4, 6), np.float32)
    for place, text in enumerate(texts):
        if not text:
            assert found[place] == ""
            continue
        source = np.array(runner.source_ids([text]), np.int32)
        tokens, lengths = zoo.sample(
            tiny_model, source, 6, top_k=20, draws=draws[place : place + 1]
        )
        expected = tokenizer.decode([np.array(tokens)[0, : int(lengths[0])]])
        assert found[place] == expected[0]


def test_a_sample_does_not_depend_on_the_batch(bundle):
    texts = ["Open File", "Close all of the editors", "Save"]
    runner = export.load(bundle)
    one, three = (runner.sample(texts, seed=3, max_length=6, batch_size=n) for n in (1, 3))
    assert one == three


def test_sampling_options_out_of_range_are_refused(bundle):
    with pytest.raises(ValueError, match="`temperature` must be"):
        export.load(bundle).sample(["Open File"], temperature=0)
