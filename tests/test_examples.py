"""The examples of docstrings run. Those of README and docs: `test_docs.py`."""

import doctest
import importlib
import inspect
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
    "held_out": "held_out",
    "bundle": "bundle",
    "folder": "tmp_path",
}


@pytest.fixture(scope="module")
def held_out(pairs):
    return pairs.subset(range(16), pairs.origin)


# Exports like those of other tests.
LONG = {
    "seq2lite.export.bundle.to_bundle",
    "seq2lite.export.tflite.to_tflite",
    "seq2lite.export.static.convert",
    "seq2lite.export.saved_model.to_saved_model",
}


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(test, id=test.name, marks=[pytest.mark.long] if test.name in LONG else [])
        for _, test in EXAMPLES
    ],
)
def test_the_example_of_a_docstring_runs(example, request):
    code = "".join(part.source for part in example.examples)
    for name, fixture in FIXTURES.items():
        if re.search(rf"\b{name}\b", code):
            example.globs[name] = request.getfixturevalue(fixture)
    results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert results.attempted and not results.failed


def public_functions():
    """Dotted name of each public function: of zoo, of export, and of the parts of recipes."""
    from seq2lite import export, zoo

    for package in (zoo, export):
        for name in package.__all__:
            if inspect.isfunction(function := getattr(package, name)):
                yield f"{function.__module__}.{name}"
    for module in MODULES:
        if module.startswith(("seq2lite.recipes.data.", "seq2lite.recipes.evaluation.")):
            for name, value in vars(importlib.import_module(module)).items():
                if inspect.isfunction(value) and value.__module__ == module and name[0] != "_":
                    yield f"{module}.{name}"


# Stages of a recipe's `train`, whose examples would train a model, or need its whole Config.
WITHOUT_EXAMPLE = {
    "seq2lite.recipes.data.extension.extend",
    "seq2lite.recipes.evaluation.bundles.export_run",
    "seq2lite.recipes.evaluation.bundles.export_model",
    "seq2lite.recipes.evaluation.evaluate.evaluate",
}


def test_every_public_function_has_an_example():
    functions = set(public_functions())
    assert len(functions) > 35
    assert functions - {test.name for _, test in EXAMPLES} == WITHOUT_EXAMPLE
