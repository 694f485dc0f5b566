"""The examples of docstrings run. Those of README and docs: `test_docs.py`."""

import doctest
import importlib
import re
from pathlib import Path

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


# Names that examples use without making them: each is a fixture.
FIXTURES = {
    "model": "tiny_model",
    "tokenizer": "tokenizer",
    "held_out": "pairs",
    "bundle": "bundle",
    "folder": "tmp_path",
}


@pytest.mark.parametrize(
    ("module", "example"), EXAMPLES, ids=lambda value: getattr(value, "name", "")
)
def test_the_example_of_a_docstring_runs(module, example, request):
    code = "".join(part.source for part in example.examples)
    for name, fixture in FIXTURES.items():
        if re.search(rf"\b{name}\b", code):
            example.globs[name] = request.getfixturevalue(fixture)
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
