"""Score beam sizes and length penalties of a trained translation run.

    python benchmarks/searches.py runs/translate --valid my-valid.tsv.gz [--pairs 500]

Prints BLEU and chrF of Keras on held-out pairs, and the time relative to greedy search.
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run folder of translate")
    parser.add_argument(
        "--valid", required=True, type=Path, help="file of pairs: source, tab, target"
    )
    parser.add_argument("--pairs", type=int, default=500, help="number of pairs to score")
    parser.add_argument(
        "--max-length", type=int, default=96, help="maximum tokens of a source and of a target"
    )
    options = parser.parse_args()
    model = keras.saving.load_model(options.run / "model.keras")
    tokenizer = export.Tokenizer(options.run / "tokenizer.model")
    sources, references = zip(*spread(read_pairs(options.valid), options.pairs), strict=True)
    print("| | BLEU, chrF | time |\n|---|---|---|")
    greedy = None
    for num_beams, length_penalty in SEARCHES:
        search = Search(num_beams=num_beams, length_penalty=length_penalty)
        decode = Decoder(tokenizer, search, (options.max_length, options.max_length))
        decode(model, sources[:8])  # traces the graph
        start = time.perf_counter()
        scores = translation_scores(decode(model, sources), references)
        seconds = time.perf_counter() - start
        greedy = greedy or seconds
        name = "greedy" if num_beams == 1 else f"{num_beams} beams, length penalty {length_penalty}"
        cells = ", ".join(f"{v:.2f}" for v in scores.values())
        print(f"| {name} | {cells} | {seconds / greedy:.1f}x |", flush=True)


if __name__ == "__main__":
    main()
