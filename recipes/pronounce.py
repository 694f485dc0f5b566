"""Spelling to phones: how a word is said (grapheme to phoneme).

    python -m seq2lite.recipes.pronounce
    python -m seq2lite.recipes.pronounce --train my.tsv --output runs/mine

Needs: nothing but this package; by default it trains on a part of CMUdict that comes with it (all of
it: `python -m seq2lite.recipes.fetch g2p`). A line is a word, a tab, and its phones with spaces
between them; a word may stand there several times, with other phones. Gives, in `--output`:
`report.md` with curves, word and phone error rates and examples, `model.keras`, and a bundle for each
quantization. Time and scores: docs/results.md.
"""

import dataclasses
from collections import namedtuple

import keras

from seq2lite import export, zoo
from seq2lite.recipes.data.pairs import read_pairs
from seq2lite.recipes.data.prepare import make_batches
from seq2lite.recipes.data.samples import G2P_TRAIN
from seq2lite.recipes.data.splits import input_files, read_splits
from seq2lite.recipes.data.tokenizers import symbol_tokenizer
from seq2lite.recipes.distributed.precision import precision
from seq2lite.recipes.evaluation.bundles import export_bundles
from seq2lite.recipes.evaluation.decoding import Decoder, Score, Search
from seq2lite.recipes.evaluation.evaluate import evaluate
from seq2lite.recipes.evaluation.metrics import error_rates
from seq2lite.recipes.options import option, require_files
from seq2lite.recipes.run.command_line import run_recipe
from seq2lite.recipes.run.folder import check_run_folder, open_run, save_model
from seq2lite.recipes.run.model_options import builder_options, check_model, training_of
from seq2lite.recipes.run.report import write_report
from seq2lite.recipes.training.fit import fit
from seq2lite.recipes.training.options import Training


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run depends on; each field is a flag."""

    train: tuple[str, ...] = option(
        (str(G2P_TRAIN),), "word, tab, phones a line; or a file of each; .gz or plain"
    )
    valid: tuple[str, ...] = option(
        (),
        "held-out pairs of the same form, which choose the best round; default: a part of --train",
    )
    test: tuple[str, ...] = option((), "files of pairs to score in the end; default: --valid")
    output: str = option("runs/pronounce", "run folder")
    overwrite: bool = option(
        False, "replace the run in the folder: a finished one, or one of other options"
    )
    preset: str = option("rnn_tiny", f"one of {', '.join(zoo.list_presets())}")
    dropout: float = option(0.1, "of the preset's layers")
    architecture: tuple[str, ...] = option(
        (), "what differs from the preset, as num_layers=3 (docs/zoo.md has all options)"
    )
    max_length: int = option(32, "letters, or phones; longer words are cut")
    quantizations: tuple[str, ...] = option(
        ("float32", "int8"), f"a bundle for each of {', '.join(export.QUANTIZATIONS)}; alone: none"
    )
    training: Training = Training(epochs=20, batch_tokens=512)
    search: Search = Search()

    def __post_init__(self):
        check_model(self)
        require_files(self.train, self.valid)

    @property
    def lengths(self):
        """Most tokens of a source and of a target."""
        return self.max_length, self.max_length

    @property
    def inputs(self):
        """The data files."""
        return input_files(self)


Data = namedtuple("Data", ["tokenizer", "train", "valid", "tests"])
Result = namedtuple("Result", ["model", "tokenizer", "scores", "reports"])


def build_data(config):
    """Reads the words, takes their letters and phones as symbols, and makes the batches."""
    train, valid, tests = read_splits(config, read_words)
    tokenizer = symbol_tokenizer(*zip(*train, strict=True))
    batches = make_batches(train, valid, tests, tokenizer, config.training, config.lengths)
    tests = {name: pronunciations(words) for name, words in tests.items()}
    return Data(tokenizer, *batches, tests)


def read_words(*paths):
    """Pairs of (word, phones); letters with spaces between them are joined."""
    pairs = read_pairs(*paths)
    if all(len(letter) == 1 for word, _ in pairs for letter in word.split()):
        pairs[:] = [("".join(word.split()), phones) for word, phones in pairs]
    return pairs


def pronunciations(pairs):
    """List of (word, list of all the phones it may have)."""
    found = {}
    for word, phones in pairs:
        found.setdefault(word, []).append(phones)
    return list(found.items())


def build_model(config, data):
    """The preset, with random weights."""
    keras.utils.set_random_seed(config.training.seed)
    with precision(config.training.precision):
        options = builder_options(config.preset, config.architecture)
        return zoo.build(
            config.preset, dropout=config.dropout, **options, **data.tokenizer.vocabulary
        )


def train(config):
    """Trains, exports, scores."""
    check_run_folder(config, config.inputs)
    data = build_data(config)
    model = build_model(config, data)
    decode = Decoder(data.tokenizer, config.search, config.lengths)
    score = Score("WER", error_rates, decode, pronunciations(data.valid.pairs), mode="min")
    with open_run(config, config.inputs) as folder:
        model, history = fit(model, data.train, data.valid, training_of(config), folder, score)
        save_model(model, data.tokenizer, folder)
        reports = export_bundles(config, folder, model, data)
        scores, examples = evaluate(model, reports, score, data.tests)
        write_report(config, folder, model, data, history, score, reports, scores, examples)
    return Result(model, data.tokenizer, scores, reports)


def main(arguments=None):
    """The command line."""
    run_recipe(__doc__, Config, train, arguments)


if __name__ == "__main__":
    main()
