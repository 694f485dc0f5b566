"""Run by `make wheel`, in an environment that holds the wheel and nothing of this folder."""

import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from seq2lite import export, recipes, zoo
from seq2lite.recipes.data.pairs import read_pairs
from seq2lite.recipes.data.samples import VSCODE_VALID
from seq2lite.recipes.data.tokenizers import learn_tokenizer

for package in (zoo, export, recipes):
    assert "site-packages" in package.__file__, package.__file__

pairs = read_pairs(VSCODE_VALID)  # the data is in the wheel, and its licence
assert VSCODE_VALID.with_name("vscode.en-ko.MIT.LICENSE.txt").is_file()
tokenizer = learn_tokenizer((text for pair in pairs for text in pair), 1000)
model = zoo.build("rnn_tiny", **tokenizer.vocabulary)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "my-model"
    export.to_bundle(model, path, tokenizer, pairs[:8], quantization="float32")
    answers = export.load(path).generate(["Open File", ""])
assert len(answers) == 2 and answers[1] == ""
assert model({"source": np.array([[5, 3]]), "target": np.array([[2]])}).shape == (1, 1, 1000)
print(f"the wheel of seq2lite {version('seq2lite')} exports and runs a model")
