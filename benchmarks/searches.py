"""Scores and time of beam search by number of beams and length penalty, for a trained `translate` run.

    python benchmarks/searches.py runs/translate --valid my-valid.tsv.gz [--pairs 500]

Keras decodes held-out pairs. Times are relative to greedy search.
"""

import argparse
import time
from pathlib import Path

import keras

from seq2lite import export
from seq2lite.recipes.data.pairs import read_pairs
from seq2lite.recipes.data.splits import spread
from seq2lite.recipes.evaluation.decoding import Decoder, Search
from seq2lite.recipes.evaluation.metrics import translation_scores

SEARCHES = [(1, 1.0), (4, 0.0), (4, 0.6), (4, 1.0), (4, 1.4), (8, 1.0), (8, 1.4)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder of the translate recipe")
    parser.add_argument(
        "--valid", required=True, type=Path, help="held-out pairs: one per line, separated by a tab"
    )
    parser.add_argument("--pairs", type=int, default=500, help="number of pairs (default: 500)")
    parser.add_argument(
        "--max-length",
        type=int,
        default=96,
        help="maximum tokens of source and target (default: 96)",
    )
    options = parser.parse_args()
    model = keras.saving.load_model(options.run / "model.keras")
    tokenizer = export.Tokenizer(options.run / "tokenizer.model")
    sources, references = zip(*spread(read_pairs(options.valid), options.pairs), strict=True)
    print("| search | BLEU, chrF | time relative to greedy |\n|---|---|---|")
    greedy_seconds = None
    for num_beams, length_penalty in SEARCHES:
        search = Search(num_beams=num_beams, length_penalty=length_penalty)
        decode = Decoder(tokenizer, search, (options.max_length, options.max_length))
        decode(model, sources[:8])  # compiles
        start = time.perf_counter()
        scores = translation_scores(decode(model, sources), references)
        seconds = time.perf_counter() - start
        greedy_seconds = greedy_seconds or seconds
        name = "greedy" if num_beams == 1 else f"{num_beams} beams, length penalty {length_penalty}"
        cells = ", ".join(f"{v:.2f}" for v in scores.values())
        print(f"| {name} | {cells} | {seconds / greedy_seconds:.1f}x |", flush=True)


if __name__ == "__main__":
    main()
