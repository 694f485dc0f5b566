"""Summarization: from a text to its summary in a line.

    python -m seq2lite.recipes.summarize
    python -m seq2lite.recipes.fetch summarize --output data/summarize
    python -m seq2lite.recipes.summarize --train data/summarize/train.tsv.gz \\
        --valid data/summarize/valid.tsv.gz --output runs/mine

Needs: nothing but this package, which holds the docstrings of Keras and TensorFlow with their first
lines; your own pairs of text and summary, or the 53,000 that `fetch` makes of package descriptions.
Gives, in `--output`: `report.md` with curves, ROUGE beside that of the text's first words, and
examples; `model.keras`; and a bundle for each quantization. Time and scores: docs/results.md.
"""

import dataclasses
from collections import namedtuple

import keras

from seq2lite import export, zoo
from seq2lite.export.runtime.checks import require_positive
from seq2lite.recipes.data.prepare import make_batches
from seq2lite.recipes.data.samples import DOCSTRINGS_TRAIN
from seq2lite.recipes.data.splits import input_files, read_splits
from seq2lite.recipes.data.tokenizers import learn_tokenizer
from seq2lite.recipes.distributed.precision import precision
from seq2lite.recipes.evaluation.bundles import export_bundles
from seq2lite.recipes.evaluation.decoding import Decoder, Score, Search
from seq2lite.recipes.evaluation.evaluate import evaluate
from seq2lite.recipes.evaluation.metrics import rouge_scores
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
        (str(DOCSTRINGS_TRAIN),), "text, tab, summary a line; or a file of each; .gz or plain"
    )
    valid: tuple[str, ...] = option(
        (),
        "held-out pairs of the same form, which choose the best round; default: a part of --train",
    )
    test: tuple[str, ...] = option((), "files of pairs to score in the end; default: --valid")
    output: str = option("runs/summarize", "run folder")
    overwrite: bool = option(
        False, "replace the run in the folder: a finished one, or one of other options"
    )
    preset: str = option("rnn_tiny", f"one of {', '.join(zoo.list_presets())}")
    dropout: float = option(0.1, "of the preset's layers")
    architecture: tuple[str, ...] = option(
        (), "what differs from the preset, as num_layers=3 (docs/zoo.md has all options)"
    )
    vocabulary_size: int = option(8000, "pieces of the SentencePiece model")
    max_source_length: int = option(192, "tokens of a text; what is longer is cut")
    max_target_length: int = option(32, "tokens of a summary")
    baseline_words: int = option(12, "first words of a text that are the summary to beat")
    quantizations: tuple[str, ...] = option(
        ("float32", "int8"), f"a bundle for each of {', '.join(export.QUANTIZATIONS)}; alone: none"
    )
    training: Training = Training()
    search: Search = Search()

    def __post_init__(self):
        check_model(self)
        require_files(self.train, self.valid)
        require_positive(baseline_words=self.baseline_words)

    @property
    def lengths(self):
        """Most tokens of a source and of a target."""
        return self.max_source_length, self.max_target_length

    @property
    def inputs(self):
        """The data files."""
        return input_files(self)


Data = namedtuple("Data", ["tokenizer", "train", "valid", "tests"])
Result = namedtuple("Result", ["model", "tokenizer", "scores", "reports"])


def build_data(config):
    """Reads the pairs, learns the tokenizer, and makes the batches."""
    train, valid, tests = read_splits(config)
    tokenizer = learn_tokenizer((text for pair in train for text in pair), config.vocabulary_size)
    batches = make_batches(train, valid, tests, tokenizer, config.training, config.lengths)
    return Data(tokenizer, *batches, tests)


def lead(texts, num_words):
    """The summaries to beat: the first words."""
    return [" ".join(text.split()[:num_words]) for text in texts]


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
    score = Score("ROUGE-L", rouge_scores, decode, data.valid.pairs)
    with open_run(config, config.inputs) as folder:
        model, history = fit(model, data.train, data.valid, training_of(config), folder, score)
        save_model(model, data.tokenizer, folder)
        reports = export_bundles(config, folder, model, data)
        baseline = {
            f"first {config.baseline_words} words": lambda s: lead(s, config.baseline_words)
        }
        scores, examples = evaluate(model, reports, score, data.tests, baseline)
        write_report(config, folder, model, data, history, score, reports, scores, examples)
    return Result(model, data.tokenizer, scores, reports)


def main(arguments=None):
    """The command line."""
    run_recipe(__doc__, Config, train, arguments)


if __name__ == "__main__":
    main()
