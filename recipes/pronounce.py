"""Pronunciation: the spelling of a word to its phones (grapheme to phoneme).

    seq2lite pronounce
    seq2lite pronounce --train my.tsv --output runs/mine

Data: a table with a column of words and one of phones, with spaces between the phones: tab-separated
text, CSV, JSON, JSON Lines, Parquet or a folder of Hugging Face `datasets`. A word with several
pronunciations has several rows. The default is a part of CMUdict, which is part of the
package; `seq2lite fetch g2p` fetches all of it.

Output, in the folder `--output`: `report.md` with word and phone error rates, curves and examples;
`model.keras`; and a bundle for each quantization mode, such as `int8/`. To resume a stopped run, give
the same command again. Times and scores: docs/results.md.
"""

import dataclasses
import os
from collections.abc import Iterable, Sequence

from seq2lite.recipes.data.options import TokenizerOptions
from seq2lite.recipes.data.pairs import Pairs, read_pairs
from seq2lite.recipes.data.prepare import Data, make_data
from seq2lite.recipes.data.samples import G2P_TRAIN
from seq2lite.recipes.data.splits import read_splits
from seq2lite.recipes.data.tokenizers import make_tokenizer, symbol_tokenizer
from seq2lite.recipes.evaluation.decoding import Decoder, Score
from seq2lite.recipes.evaluation.metrics import error_rates
from seq2lite.recipes.options import option
from seq2lite.recipes.run.build import build_model
from seq2lite.recipes.run.command_line import run_recipe
from seq2lite.recipes.run.config import RecipeConfig, RunOptions
from seq2lite.recipes.run.pipeline import train_and_score
from seq2lite.recipes.run.prepare import prepare_run
from seq2lite.recipes.training.options import Training
from seq2lite.recipes.training.result import RunResult


@dataclasses.dataclass(frozen=True)
class PronunciationData(TokenizerOptions):
    """Data options; each field is a flag."""

    train: tuple[str, ...] = option(
        (str(G2P_TRAIN),), "a table of words and phones; or a file of lines for each side"
    )
    max_length: int = option(32, "maximum number of letters or phones; longer words are cut")

    @property
    def max_lengths(self) -> tuple[int, int]:
        """Maximum source and target length in tokens."""
        return self.max_length, self.max_length


@dataclasses.dataclass(frozen=True)
class Config(RecipeConfig):
    """Options of a pronunciation run; each field of a group is a flag."""

    data: PronunciationData = PronunciationData()
    run: RunOptions = RunOptions(output="runs/pronounce")
    training: Training = Training(epochs=20, batch_tokens=512)


def build_data(config: Config) -> Data:
    """Read the words, make a tokenizer of their letters and phones, and make the batches."""
    train, valid, tests = read_splits(config.data, read_words)
    symbols = symbol_tokenizer(*zip(*train, strict=True))
    tokenizer = make_tokenizer(config, train, symbols)
    data = make_data(config, train, valid, tests, tokenizer)
    references = {name: pronunciations(words) for name, words in tests.items()}
    return dataclasses.replace(data, tests=references)


def read_words(*paths: str | os.PathLike, columns: Sequence[str] = ()) -> Pairs:
    """Read (word, phones) pairs. If all words are spelled with spaces, the spaces are removed."""
    pairs = read_pairs(*paths, columns=columns)
    if all(len(letter) == 1 for word, _ in pairs for letter in word.split()):
        pairs[:] = [("".join(word.split()), phones) for word, phones in pairs]
    return pairs


def pronunciations(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Return (word, list of its pronunciations) pairs."""
    found: dict[str, list[str]] = {}
    for word, phones in pairs:
        found.setdefault(word, []).append(phones)
    return list(found.items())


def train(config: Config) -> RunResult:
    """Train, export and score a model."""
    run = prepare_run(config)
    config = run.config
    data = build_data(config)
    model = build_model(config, data.tokenizer)
    decode = Decoder(data.tokenizer, config.search, config.data.max_lengths)
    score = Score("WER", error_rates, decode, pronunciations(data.valid.pairs), mode="min")
    return train_and_score(run, model, data, score)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    run_recipe(__doc__, Config, train, arguments)


if __name__ == "__main__":
    main()
