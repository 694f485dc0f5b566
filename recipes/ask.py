"""Question generation: from a text, and an answer in it, to the question.

    python -m seq2lite.recipes.ask
    python -m seq2lite.recipes.ask --train train-v1.1.json --valid dev-v1.1.json --output runs/mine
    python -m seq2lite.recipes.ask --train my.tsv

Needs: nothing but this package, which holds a small set; your own is JSON in SQuAD's format, or pairs
of text and question. Of JSON the model reads `answer: <answer> context: <words around it>`, and so
does the bundle that comes out. Gives, in `--output`: `report.md` with curves, BLEU, ROUGE-L, exact
matches and examples; `model.keras`; and a bundle for each quantization. Time and scores:
docs/results.md.
"""

import dataclasses
import functools
from collections import namedtuple

import keras

from seq2lite import export, zoo
from seq2lite.export.runtime.checks import require_positive
from seq2lite.recipes.data.pairs import Pairs, read_pairs
from seq2lite.recipes.data.prepare import make_batches
from seq2lite.recipes.data.samples import FAQ_TRAIN
from seq2lite.recipes.data.splits import input_files, read_splits
from seq2lite.recipes.data.squad import read_squad
from seq2lite.recipes.data.tokenizers import learn_tokenizer
from seq2lite.recipes.distributed.precision import precision
from seq2lite.recipes.evaluation.bundles import export_bundles
from seq2lite.recipes.evaluation.decoding import Decoder, Score, Search
from seq2lite.recipes.evaluation.evaluate import evaluate
from seq2lite.recipes.evaluation.metrics import question_scores
from seq2lite.recipes.options import option, require_files
from seq2lite.recipes.run.command_line import run_recipe
from seq2lite.recipes.run.folder import check_run_folder, open_run, save_model
from seq2lite.recipes.run.model_options import builder_options, check_model, training_of
from seq2lite.recipes.run.report import write_report
from seq2lite.recipes.training.fit import fit
from seq2lite.recipes.training.options import Training

CONTEXT_WORDS = 60


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run depends on; each field is a flag."""

    train: tuple[str, ...] = option(
        (str(FAQ_TRAIN),), "JSON in SQuAD's format, or text, tab, question a line; .gz or plain"
    )
    valid: tuple[str, ...] = option(
        (),
        "held-out pairs of the same form, which choose the best round; default: a part of --train",
    )
    test: tuple[str, ...] = option((), "files of pairs to score in the end; default: --valid")
    output: str = option("runs/ask", "run folder")
    overwrite: bool = option(
        False, "replace the run in the folder: a finished one, or one of other options"
    )
    preset: str = option("rnn_tiny", f"one of {', '.join(zoo.list_presets())}")
    dropout: float = option(0.1, "of the preset's layers")
    architecture: tuple[str, ...] = option(
        (), "what differs from the preset, as num_layers=3 (docs/zoo.md has all options)"
    )
    vocabulary_size: int = option(2000, "pieces of the SentencePiece model")
    context_words: int = option(CONTEXT_WORDS, "words round an answer that the model reads")
    max_source_length: int = option(160, "tokens of a text; what is longer is cut")
    max_target_length: int = option(40, "tokens of a question")
    quantizations: tuple[str, ...] = option(
        ("float32", "int8"), f"a bundle for each of {', '.join(export.QUANTIZATIONS)}; alone: none"
    )
    training: Training = Training()
    search: Search = Search()

    def __post_init__(self):
        check_model(self)
        require_positive(context_words=self.context_words)
        require_files(self.train, self.valid)

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
    read = functools.partial(read_questions, context_words=config.context_words)
    train, valid, tests = read_splits(config, read)
    tokenizer = learn_tokenizer((text for pair in train for text in pair), config.vocabulary_size)
    batches = make_batches(train, valid, tests, tokenizer, config.training, config.lengths)
    return Data(tokenizer, *batches, tests)


def read_questions(*paths, context_words=CONTEXT_WORDS):
    """Pairs of (what the model reads, question), of JSON or of pairs."""
    if not str(paths[0]).removesuffix(".gz").endswith(".json"):
        return read_pairs(*paths)
    examples = [example for path in paths for example in read_squad(path)]
    pairs = [
        (f"answer: {e.answer} context: {around(e, context_words)}", e.question) for e in examples
    ]
    # All questions on a text are held out together.
    contexts = [example.context for example in examples]
    places = [example.place for example in examples]
    return Pairs(pairs, places, " and ".join(map(str, paths)), groups=contexts)


def around(example, num_words):
    """The words of a context that are nearest to its answer."""
    before, after = (
        example.context[: example.start].split(),
        example.context[example.start :].split(),
    )
    given = min(len(before), max(num_words // 2, num_words - len(after)))
    words = before[len(before) - given :] + after[: num_words - given]
    return " ".join(words)


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
    score = Score("ROUGE-L", question_scores, decode, data.valid.pairs)
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
