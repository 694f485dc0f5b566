"""Draws docs/figures: architectures of the papers, and the alignment of a trained model.

    python docs/draw_figures.py
    python docs/draw_figures.py --run runs/demo/rnn_tiny --text "Open the selected file"

The first writes rnn_seq2seq.svg, gnmt.svg and transformer.svg, always the same bytes; the second
alignment.png, from a run of `seq2lite.recipes.translate`.
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

# A file's name: the preset, and the vocabulary's size in its paper.
ARCHITECTURES = {
    "rnn_seq2seq": ("bahdanau_2015", 30_000),
    "gnmt": ("gnmt", 32_000),
    "transformer": ("transformer_base", 37_000),
}


def draw_architectures(folder):
    """Writes the SVG files of ARCHITECTURES; their text is paths, the same without its font."""
    for name, (preset, vocabulary_size) in ARCHITECTURES.items():
        # No weight is made: only shapes are looked at.
        with keras.StatelessScope(initialize_variables=False):
            ax = plot.plot_architecture(zoo.build(preset, vocabulary_size=vocabulary_size))
        with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
            ax.figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def draw_alignment(run, text, folder):
    """Writes alignment.png: what a run's model says of `text`, and where it looked for it.

    Args:
        run: A run's folder: `model.keras`, and a bundle's folder with `tokenizer.model` in it.
        text: A sentence of the source's language.
        folder: Where to write.
    """
    model = keras.saving.load_model(run / "model.keras", compile=False)
    tokenizer = Tokenizer(next(run.glob("*/tokenizer.model")))
    pieces = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model_bytes).id_to_piece
    source = [*tokenizer.encode([text])[0], model.end_id]
    tokens, lengths = zoo.greedy_search(model, np.array([source], "int32"), MAX_LENGTH)
    said = [int(token) for token in np.array(tokens)[0, : int(lengths[0])]]
    inputs = {
        "source": np.array([source], "int32"),
        "target": np.array([[model.start_id, *said]], "int32"),
    }
    _, weights = model(inputs, return_attention=True)
    # A row of the weights belongs to the token that comes out, not to the one that goes in.
    chosen = [*said, model.end_id] if len(said) < MAX_LENGTH else said
    weights = np.array(weights)[0, : len(chosen)]
    ax = plot.plot_alignment(weights, pieces(source), pieces(chosen))
    ax.figure.savefig(folder / "alignment.png", metadata={"Software": None})
    print(f"{text} → {tokenizer.decode([said])[0]}")


def main():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="folder of a run of the translation recipe")
    parser.add_argument("--text", default="Open the selected file in the editor")
    parser.add_argument("--output", type=Path, default=FIGURES, help="folder (docs/figures)")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.run is None:
        draw_architectures(arguments.output)
    else:
        draw_alignment(arguments.run, arguments.text, arguments.output)


if __name__ == "__main__":
    main()
