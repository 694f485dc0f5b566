"""What the documentation shows is run: docstrings' examples, and README's ten lines."""

import doctest
import importlib
import re
from pathlib import Path

import keras
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    ".".join(("seq2lite", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for folder in ("zoo", "export", "recipes")
    for file in (ROOT / folder).rglob("*.py")
    if file.stem != "__main__"
)
EXAMPLES = [
    (name, test)
    for name in MODULES
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
    if test.examples
]


@pytest.mark.parametrize(
    ("module", "example"), EXAMPLES, ids=lambda value: getattr(value, "name", "")
)
def test_the_example_of_a_docstring_runs(
    module, example, tiny_model, tokenizer, pairs, bundle, tmp_path
):
    example.globs |= {
        "model": tiny_model,
        "tokenizer": tokenizer,
        "held_out": pairs[:16],
        "bundle": bundle,
        "folder": tmp_path,
    }
    results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert results.attempted and not results.failed


def test_every_public_function_has_an_example():
    from seq2lite import export, zoo

    shown = {test.name.rpartition(".")[2] for _, test in EXAMPLES}
    functions = {zoo: [name for name in zoo.__all__ if name != "Seq2Seq"]}
    functions[export] = ["to_bundle", "to_tflite", "to_saved_model", "load"]
    for package, names in functions.items():
        assert set(names) <= set(package.__all__)
        assert set(names) <= shown


def python_blocks(file):
    return re.findall(r"```python\n(.*?)```", (ROOT / file).read_text("utf-8"), re.DOTALL)


@pytest.mark.long
def test_the_lines_of_the_readme_run(tmp_path, monkeypatch, capsys):
    """As they stand, but on the small data and in fewer epochs."""
    (code,) = python_blocks("README.md")
    for long, short in (
        ("VSCODE_TRAIN)", "VSCODE_VALID)"),
        ("vocabulary_size=4000", "vocabulary_size=1000"),
        ("batch_tokens=1024", "batch_tokens=512"),
        ("num_batches=5 * ", "num_batches=2 * "),
    ):
        assert long in code
        code = code.replace(long, short)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert re.fullmatch(r"\[.+\]", capsys.readouterr().out.splitlines()[-1])
    assert (tmp_path / "my-model" / "model.tflite").is_file()


def test_the_host_loop_of_the_export_page_gives_what_generate_gives(bundle, monkeypatch):
    from seq2lite import export

    monkeypatch.chdir(bundle.parent)
    runner = export.load("my-model")
    source = np.array(runner.source_ids(["Open File"]), np.int32)
    said = []
    start = np.array([2], np.int32)
    names = {"source": source, "start": start, "max_length": 6, "said": said}
    code = python_blocks("docs/export.md")[1] + "    said.append(int(token[0]))\n"
    exec(compile(code, "export.md", "exec"), names)
    tokens, lengths = runner.generate_ids(source, 6)
    assert said[: lengths[0]] == tokens[0].tolist()


def test_the_static_file_of_the_export_page_is_searched(tiny_model, tokenizer, pairs):
    convert, search = python_blocks("docs/export.md")[3:5]
    names = {
        "model": tiny_model,
        "tokenizer": tokenizer,
        "held_out": pairs[:16],
        "source": np.array([[5, 6, 3]], np.int32),
    }
    for code in (convert, search):
        assert "length=64" in code
        exec(compile(code.replace("length=64", "length=8"), "export.md", "exec"), names)
    assert names["tokens"].shape[1] <= 8


def test_the_lines_of_the_zoo_page_run(tmp_path, monkeypatch):
    """Models searched; and a family of one's own, searched and exported."""
    monkeypatch.chdir(tmp_path)
    search, train, compiled, family = python_blocks("docs/zoo.md")
    source = np.array([[5, 6, 3], [7, 3, 0]])
    names = {"source": source, "np": np, "keras": keras}
    for code in (search, train, compiled):
        code = code.replace("max_length=64", "max_length=8").replace("(12, 1)", "(1, 1)")
        exec(compile(code, "zoo.md", "exec"), names)
    assert names["scores"].shape == (2, 4)
    assert names["translate"](source)[2].shape == (2, 1)
    names = {}
    exec(compile(family, "zoo.md", "exec"), names)
    assert (tmp_path / "bag.tflite").is_file()
    model, source = names["model"], np.array([[5, 6, 3]])
    logits = model({"source": source, "target": np.array([[2, 7]])})
    step, _ = model.decode_step(np.array([2]), model.encode(source))
    np.testing.assert_allclose(step, logits[:, 0], atol=1e-6)
