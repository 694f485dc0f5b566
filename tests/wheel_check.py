"""Check of the installed wheel: it exports and runs a model without the repository.

Run by `make wheel` in an environment with the wheel, with the folder of the bundle that it exports. The
dependencies come from the site-packages of another environment, whose editable installation of this
package must not be found.
"""

import ast
import re
import sys
from importlib.metadata import distribution, packages_distributions, version
from pathlib import Path

import numpy as np

from seq2lite import export, recipes, zoo
from seq2lite.recipes.data.pairs import read_pairs
from seq2lite.recipes.data.samples import VSCODE_VALID
from seq2lite.recipes.data.tokenizers import learn_tokenizer

REPOSITORY = Path(__file__).resolve().parent.parent
INSTALLED = Path(sys.prefix)
OPTIONAL = {"jax"}  # imported under that Keras backend only


def imported_names(file):
    """Top-level names that a file imports from other packages."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


# Whatever is imported by the end comes from this environment or from the dependencies.
def check_origins():
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is None or name in ("__main__", "__mp_main__"):
            continue
        path = Path(file).resolve()
        if name.partition(".")[0] == "seq2lite":
            assert path.is_relative_to(INSTALLED), f"{name} is imported from {path}"
        is_source = path.is_relative_to(REPOSITORY) and "site-packages" not in path.parts
        assert not is_source or path.is_relative_to(INSTALLED), f"{name} is imported from {path}"


# The other environment has more packages than the wheel asks for.
def check_requirements():
    package = distribution("seq2lite")
    required = {
        normalized(re.match(r"[\w.-]+", line)[0])
        for line in package.requires
        if "extra ==" not in line or re.search("train|split|fetch", line.partition(";")[2])
    }
    origins = packages_distributions()
    files = [package.locate_file(file) for file in package.files if file.suffix == ".py"]
    assert len(files) > 100
    for file in map(Path, files):
        for name in imported_names(file):
            if name in {*sys.stdlib_module_names, *OPTIONAL, "seq2lite"}:
                continue
            found = {normalized(each) for each in origins.get(name, [])}
            assert found & required, f"{file} imports {name}, which pyproject.toml does not require"


check_requirements()
pairs = read_pairs(VSCODE_VALID)  # the wheel contains the data and its license
assert VSCODE_VALID.with_name("vscode.en-ko.MIT.LICENSE.txt").is_file()
tokenizer = learn_tokenizer((text for pair in pairs for text in pair), 1000)
model = zoo.build("rnn_tiny", **tokenizer.vocabulary)
path = Path(sys.argv[1])
export.to_bundle(model, path, tokenizer, pairs[:8], quantization="float32", measure=False)
answers = export.load(path).generate(["Open File", ""])
assert len(answers) == 2 and answers[1] == ""
assert model({"source": np.array([[5, 3]]), "target": np.array([[2]])}).shape == (1, 1, 1000)
assert {zoo, export, recipes} <= set(sys.modules.values())
check_origins()
print(f"the wheel of seq2lite {version('seq2lite')} exports and runs a model")
