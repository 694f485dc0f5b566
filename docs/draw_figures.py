"""Draw docs/figures: architectures of the papers, and the alignment of a trained model.

    python docs/draw_figures.py
    python docs/draw_figures.py --run runs/demo/rnn_tiny --text "Open the selected file"

The first command writes rnn_seq2seq.svg, gnmt.svg and transformer.svg, always with the same bytes.
The second writes alignment.png from a run of `seq2lite.recipes.translate`.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib
import numpy as np
import sentencepiece

from seq2lite import zoo
from seq2lite.export.runtime.tokenizer import Tokenizer
from seq2lite.zoo import plot

FIGURES = Path(__file__).parent / "figures"
MAX_LENGTH = 40

# File name to the preset and the vocabulary size of its paper.
ARCHITECTURES = {
    "rnn_seq2seq": ("bahdanau_2015", 30_000),
    "gnmt": ("gnmt", 32_000),
    "transformer": ("transformer_base", 37_000),
}


def draw_architectures(folder):
    """Write the SVG files of ARCHITECTURES. Text is drawn as paths, so that no font is needed."""
    for name, (preset, vocabulary_size) in ARCHITECTURES.items():
        # Only shapes are needed, so no weight is created.
        with keras.StatelessScope(initialize_variables=False):
            ax = plot.plot_architecture(zoo.build(preset, vocabulary_size=vocabulary_size))
        with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
            ax.figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def draw_alignment(run, text, folder):
    """Write alignment.png: the output of a model for `text`, with its attention weights.

    Args:
        run: Run folder with `model.keras` and a bundle that contains `tokenizer.model`.
        text: Sentence in the source language.
        folder: Output folder.
    """
    model = keras.saving.load_model(run / "model.keras", compile=False)
    tokenizer = Tokenizer(next(run.glob("*/tokenizer.model")))
    subwords = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model_bytes).id_to_piece
    source = [*tokenizer.encode([text])[0], model.end_id]
    tokens, lengths = zoo.greedy_search(model, np.array([source], "int32"), MAX_LENGTH)
    generated = [int(token) for token in np.array(tokens)[0, : int(lengths[0])]]
    inputs = {
        "source": np.array([source], "int32"),
        "target": np.array([[model.start_id, *generated]], "int32"),
    }
    _, weights = model(inputs, return_attention=True)
    # A row of weights belongs to the output token, not to the input token.
    chosen = [*generated, model.end_id] if len(generated) < MAX_LENGTH else generated
    weights = np.array(weights)[0, : len(chosen)]
    ax = plot.plot_alignment(weights, subwords(source), subwords(chosen))
    ax.figure.savefig(folder / "alignment.png", metadata={"Software": None})
    print(f"{text} → {tokenizer.decode([generated])[0]}")


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="run folder of the translation recipe")
    parser.add_argument("--text", default="Open the selected file in the editor")
    parser.add_argument(
        "--output", type=Path, default=FIGURES, help="output folder (default: docs/figures)"
    )
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.run is None:
        draw_architectures(arguments.output)
    else:
        draw_alignment(arguments.run, arguments.text, arguments.output)


if __name__ == "__main__":
    main()
