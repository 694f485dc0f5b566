"""`export.load` runs a bundle, and names the fault of a corrupted one."""

import os
import shutil
import subprocess
import sys
import unicodedata

import numpy as np
import pytest

import fuzz_bundle
from changed_bundles import changed_copy, parts_of, reseal
from seq2lite import export, zoo
from seq2lite.export.runtime.checks import level_of_caller
from seq2lite.export.runtime.container import write_container
from seq2lite.export.runtime.golden import check_golden
from seq2lite.export.runtime.runner import Runner
from seq2lite.export.tflite_file import flatbuffer

ODD = [
    "",
    "   ",
    "\t\u3000\ufeff\u00a0",
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


def test_decomposed_hangul_gives_the_same_text(runner):
    text = "파일 열기"
    decomposed = unicodedata.normalize("NFD", text)
    assert decomposed != text
    assert runner.source_ids([decomposed]) == runner.source_ids([text])
    assert runner.generate([decomposed]) == runner.generate([text])


def test_a_text_that_is_too_long_is_cut_with_a_warning(runner):
    long = "menu " * 60
    with pytest.warns(UserWarning, match=r"a text of \d+ tokens is cut to 39") as warned:
        runner.sample([long])
    assert warned[0].filename == __file__
    with pytest.warns(UserWarning, match=r"a text of \d+ tokens is cut to 39") as warned:
        results = runner.generate([long, "Open File"])
    assert len(warned) == 1 and warned[0].filename == __file__
    cut = runner.tokenizers.source.decode([runner.source_ids([long])[0][:-1]])
    assert results[0] == runner.generate(cut)[0]


def test_the_warning_of_a_cut_text_advises_what_the_method_has(runner):
    long, advice = "menu " * 60, "use `split=True` or --split"
    with pytest.warns(UserWarning, match=advice):
        runner.generate([long])
    for call in (
        lambda: runner.generate([long], split=True),
        lambda: runner.generate_beam([long]),
        lambda: runner.sample([long]),
        lambda: runner.stream(long),
        lambda: runner.score([long], ["a"]),
    ):
        with pytest.warns(UserWarning, match="is cut to 39") as warned:
            call()
        assert advice not in str(warned[0].message)


def test_a_warning_can_name_code_without_a_module():
    assert eval("level()", {"level": level_of_caller}) == 1


def test_a_text_of_exactly_the_limit_is_not_cut(runner, recwarn):
    ids = [*runner.tokenizers.source.encode(["menu " * 60])[0][:39]]
    text = runner.tokenizers.source.decode([ids])[0].strip()
    assert len(runner.tokenizers.source.encode([text])[0]) == 39
    runner.generate([text])
    assert not recwarn


def test_max_length_limits_the_target(runner, pairs):
    texts = [source for source, _ in pairs[:5]]
    long, short = runner.generate(texts, max_length=12), runner.generate(texts, max_length=2)
    assert all(a.startswith(b) for a, b in zip(long, short, strict=True))
    assert long != short


def test_beam_search_in_the_file_equals_the_zoo(runner, tiny_model, tokenizer, pairs):
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


def test_generate_runs_the_search_of_the_bundle(runner, bundle, pairs):
    """Also another search, which runs on the host, and greedy search."""
    texts = ["", *(source for source, _ in pairs[:6] if len(source) < 40)]
    assert runner.search == {"num_beams": 3, "length_penalty": 0.6}
    best = runner.generate(texts)
    assert best == [beams[0][0] for beams in runner.generate_beam(texts)]
    assert best == runner.generate(texts, num_beams=3, batch_size=2)
    greedy = runner.generate(texts, num_beams=1)
    assert greedy == greedy_runner(runner).generate(texts) != best
    for num_beams, length_penalty in ((2, None), (5, None), (3, 0.0)):
        options = {"num_beams": num_beams, "length_penalty": length_penalty}
        beams = runner.generate_beam(texts, **options)
        assert max(map(len, beams)) <= num_beams
        assert [each[0][0] for each in beams] == runner.generate(texts, **options)


def greedy_runner(runner):
    """The same runner, of a bundle whose search is greedy."""
    search = {"num_beams": 1, "length_penalty": 0.6}
    return Runner({**runner.description, "search": search}, runner.tokenizers, runner.engine)


def test_a_greedy_bundle_needs_the_number_of_beams(runner):
    with pytest.raises(ValueError, match=r"`num_beams` must be given, .* search is greedy"):
        greedy_runner(runner).generate_beam(["Open File"])
    assert len(greedy_runner(runner).generate_beam(["Open File"], num_beams=2)[0]) == 2


def test_no_target_appears_twice_in_a_list(runner):
    """Several token sequences can have the same text; the best score is kept."""

    class Engine:
        def beam(self, source, max_length):
            subword, other = runner.tokenizers.target.encode(["a", "b"])
            # The second is the byte of "a", the last has a byte of white space in front.
            rows = [subword, [ord("a") + 4], other, [ord("\t") + 4, *other]]
            tokens = np.zeros((len(source), 4, 4), np.int32)
            for place, ids in enumerate(rows):
                tokens[:, place, : len(ids)] = ids
            lengths = np.array([[len(ids) for ids in rows]] * len(source))
            return tokens, lengths, np.array([[-1.0, -2.0, -3.0, -4.0]] * len(source))

    (found,) = Runner(runner.description, runner.tokenizers, Engine()).generate_beam(["Open"])
    assert found == [("a", -1.0), ("b", -3.0)]


def test_a_beam_search_that_the_file_lacks_is_refused(bundle, tmp_path):
    model = flatbuffer.read((bundle / "model.tflite").read_bytes())
    for signature in model.signatureDefs:
        if signature.signatureKey == b"generate_beam":
            signature.signatureKey = b"another"
    changed_copy(bundle, tmp_path, {"model.tflite": flatbuffer.write(model)})
    with pytest.raises(export.BundleError, match="must have the signature `generate_beam`"):
        export.load(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"texts": "Open File"},
            r"`texts` must be a list of str. Received: texts='Open File'. .* list: \['Open File'\]",
        ),
        ({"texts": iter(["Open"])}, "`texts` must be a list of str"),
        ({"num_beams": 0, "texts": ["x"]}, "`num_beams` must be a positive integer"),
        ({"texts": ["x", b"x"]}, r"`texts\[1\]` must be a str. Received: texts\[1\]=b'x'"),
        ({"texts": ["\ud800"]}, r"`texts\[0\]` must be valid Unicode"),
        (
            {"texts": ["x"], "max_length": 0},
            "`max_length` must be a positive integer. Received: max_length=0",
        ),
        ({"texts": ["x"], "max_length": 10**6}, "`max_length` must be at most 65,536"),
        ({"texts": ["x"], "batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"texts": ["x"], "batch_size": 1.5}, "`batch_size` must be a positive integer"),
    ],
)
def test_an_invalid_argument_is_named(runner, arguments, message):
    with pytest.raises(ValueError, match=message):
        runner.generate(**arguments)


def test_no_texts_give_no_targets(runner):
    assert runner.generate([]) == []


# TensorFlow and its companions cannot be imported, as if they were not installed.
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
from seq2lite.export.runtime.container import write_container
from seq2lite.export.runtime.golden import check_golden
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


def corrupt(copy, how):
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
    elif how == "changed length":  # would change targets silently
        text = (copy / "bundle.json").read_text("utf-8")
        changed = text.replace('"max_source_length": 40', '"max_source_length": 30')
        assert changed != text
        (copy / "bundle.json").write_text(changed, "utf-8")
    elif how == "corrupted report":
        (copy / "report.md").write_text("BLEU 99")
    elif how == "description is a folder":
        (copy / "bundle.json").unlink()
        (copy / "bundle.json").mkdir()
    elif how == "tokenizer is a pipe":
        (copy / "tokenizer.model").unlink()
        os.mkfifo(copy / "tokenizer.model")


CORRUPTIONS = {
    "truncated model": r"model.tflite is corrupted or belongs to another bundle",
    "empty model": r"model.tflite is corrupted or belongs to another bundle",
    "missing model": r"model.tflite cannot be read: No such file",
    "missing tokenizer": r"tokenizer.model cannot be read: No such file",
    "another tokenizer": r"tokenizer.model is corrupted or belongs to another bundle",
    "missing description": r"is not a bundle: it must be .* contains bundle.json",
    "half a description": r"bundle.json is corrupted",
    "empty description": r"bundle.json is corrupted",
    "changed length": r"bundle.json is corrupted: its SHA-256 differs from the one that it states",
    "corrupted report": r"report.md is corrupted or belongs to another bundle",
    "description is a folder": r"is not a bundle: it must be .* contains bundle.json",
    "tokenizer is a pipe": r"tokenizer.model cannot be read: it is not a regular file",
}


@pytest.mark.parametrize("how", CORRUPTIONS)
def test_a_corrupted_part_is_named(copy, how):
    corrupt(copy, how)
    with pytest.raises(export.BundleError, match=CORRUPTIONS[how]):
        export.load(copy)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"format": 99}, r"must have format 3.* Received: format 99"),
        ({"format": 2}, r"must have format 3.* Received: format 2"),
        ({"format": True}, "its format must be 3"),
        ({"sha256": ["model.tflite", "tokenizer.model"]}, "is corrupted"),
        ({"sha256": {"model.tflite": "0" * 64}}, "is corrupted"),
        (
            {"sha256": {"../model.tflite": "0" * 64}},
            r"its checksums must be .* for '../model.tflite'",
        ),
        ({"sha256": {"report.md": [1]}}, "is corrupted"),
        ({"max_source_length": True}, "max_source_length must be an integer"),
        ({"max_target_length": 65537}, "max_target_length must be an integer from 2 to 65,536"),
        ({"max_target_length": None}, "max_target_length must be an integer"),
        ({"search": None}, "is corrupted"),
        ({"search": {"num_beams": 3}}, "is corrupted"),
        ({"search": {"num_beams": 0, "length_penalty": 1.0}}, "search must be a number of beams"),
        ({"search": {"num_beams": 3, "length_penalty": "1"}}, "search must be a number of beams"),
        ({"vocabulary_size": 7}, "tokenizer.model must be the tokenizer that"),
        ({"start_id": 1000}, r"tokenizer.model: `start_id` must be an int in \[0, 1000\)"),
        ({"start_id": None}, "tokenizer.model must be the tokenizer that"),
    ],
)
def test_an_invalid_description_is_refused_despite_a_matching_checksum(
    bundle, tmp_path, entries, message
):
    changed_copy(bundle, tmp_path, entries=entries)
    with pytest.raises(export.BundleError, match=rf"(bundle.json .*)?{message}"):
        export.load(tmp_path)


def test_a_description_nested_too_deeply_is_refused(bundle, tmp_path):
    changed_copy(bundle, tmp_path, entries={"name": "DEEP"})
    content = (tmp_path / "bundle.json").read_bytes()
    content = content.replace(b'"DEEP"', b"[" * 100_000 + b"]" * 100_000)
    (tmp_path / "bundle.json").write_bytes(reseal(content))
    with pytest.raises(export.BundleError, match=r"bundle\.json is corrupted: .*recursion"):
        export.load(tmp_path)


def test_parts_of_two_bundles_are_refused_despite_matching_checksums(bundle, tokenizer, tmp_path):
    """A tokenizer of another size with a matching checksum would give wrong ids."""
    from seq2lite.recipes.data.tokenizers import learn_tokenizer

    other = learn_tokenizer(["open the file menu", "파일 메뉴 열기"] * 50, 279)
    assert other.vocabulary_size != tokenizer.vocabulary_size
    changed_copy(bundle, tmp_path, {"tokenizer.model": other.model_bytes})
    with pytest.raises(
        export.BundleError,
        match=r"tokenizer.model must be the tokenizer that .*: 1000, .* Received: .*: 279,",
    ):
        export.load(tmp_path)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("model.tflite", "model.tflite must be a TFLite file that this runtime supports"),
        ("tokenizer.model", "tokenizer.model: The tokenizer must be a SentencePiece model"),
    ],
)
def test_an_invalid_part_is_refused_despite_a_matching_checksum(bundle, tmp_path, part, message):
    changed_copy(bundle, tmp_path, {part: (bundle / part).read_bytes()[:2000]})
    with pytest.raises(export.BundleError, match=message):
        export.load(tmp_path)


def test_a_zip_gives_the_targets_of_its_folder_under_any_name(bundle, runner, tmp_path):
    description = {**runner.description}
    del description["format"], description["sha256"]
    for name in ("my-model.zip", "blob"):  # as content-addressed caches name files
        write_container(tmp_path / name, description, parts_of(bundle), zipped=True)
        assert export.load(tmp_path / name).generate(["Open"]) == runner.generate(["Open"])
        assert check_golden(tmp_path / name) == check_golden(bundle)
    one, other = (file.read_bytes() for file in tmp_path.iterdir())
    assert one == other


def test_report_and_golden_file_are_optional(copy, runner):
    for name in ("report.md", "golden.json"):
        (copy / name).unlink()
    assert export.load(copy).generate(["Open File"]) == runner.generate(["Open File"])
    with pytest.raises(export.BundleError, match=r"golden\.json is missing"):
        check_golden(copy)


@pytest.mark.parametrize("threads", [0, -1, "2"])
def test_an_invalid_number_of_threads_is_refused(bundle, threads):
    with pytest.raises(ValueError, match="`num_threads` must be a positive integer"):
        export.load(bundle, num_threads=threads)


def test_corrupted_bundles_are_refused_or_give_the_right_text(bundle):
    """300 of the 10,000 cases of `make fuzz`."""
    outcomes, failures = fuzz_bundle.fuzz(bundle, 300)
    assert not failures
    assert {outcome for _, outcome in outcomes} == {"refused", "right"}
    assert len({kind for kind, _ in outcomes}) > 10
    assert sum(outcomes.values()) == 300
    assert ("corrupted_part", "right") not in outcomes


def test_samples_equal_those_of_the_zoo_for_the_same_draws(bundle, tiny_model, tokenizer):
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


def test_a_sample_does_not_depend_on_the_batch_size(bundle):
    texts = ["Open File", "Close all of the editors", "Save"]
    runner = export.load(bundle)
    one, three = (runner.sample(texts, seed=3, max_length=6, batch_size=n) for n in (1, 3))
    assert one == three


def test_sampling_options_out_of_range_are_refused(bundle):
    with pytest.raises(ValueError, match="`temperature` must be"):
        export.load(bundle).sample(["Open File"], temperature=0)
