"""Question generation: a text and an answer in it to the question.

    seq2lite ask
    seq2lite ask --train train-v1.1.json --valid dev-v1.1.json --output runs/mine
    seq2lite ask --train my.tsv

Data: JSON in SQuAD's format, or a table with a column of texts and one of questions: tab-separated
text, CSV, JSON, JSON Lines, Parquet or a folder of Hugging Face `datasets`. The default is a small set of questions and answers that is part of the package. From JSON, the model reads
`answer: <answer> context: <words around the answer>`; the exported bundles read text of this form.

Output, in the folder `--output`: `report.md` with BLEU, ROUGE, exact matches, curves and examples;
`model.keras`; and a bundle for each quantization mode, such as `int8/`. To resume a stopped run, give
the same command again. Times and scores: docs/results.md.
"""

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import ClassVar

from seq2lite.export.runtime.checks import require_positive
from seq2lite.recipes.data.load import load_data
from seq2lite.recipes.data.options import VocabularyOptions, vocabulary_help
from seq2lite.recipes.data.pairs import Pairs, read_pairs
from seq2lite.recipes.data.samples import FAQ_TRAIN
from seq2lite.recipes.data.squad import Example, read_squad
from seq2lite.recipes.data.tables import format_of
from seq2lite.recipes.data.text_files import read_text
from seq2lite.recipes.evaluation.decoding import Decoder, Score
from seq2lite.recipes.evaluation.metrics import question_scores
from seq2lite.recipes.options import option
from seq2lite.recipes.run.build import build_model
from seq2lite.recipes.run.command_line import run_recipe
from seq2lite.recipes.run.config import RecipeConfig, RunOptions
from seq2lite.recipes.run.pipeline import train_and_score
from seq2lite.recipes.run.prepare import prepare_run
from seq2lite.recipes.training.result import RunResult

CONTEXT_WORDS = 60


@dataclasses.dataclass(frozen=True)
class QuestionData(VocabularyOptions):
    """Data options; each field is a flag."""

    train: tuple[str, ...] = option(
        (str(FAQ_TRAIN),),
        "JSON in SQuAD's format, or a table of texts and questions",
    )
    automatic_vocabulary_size: ClassVar[int] = 2000
    vocabulary_size: int = option(0, vocabulary_help(2000))
    context_words: int = option(
        CONTEXT_WORDS, "number of words around the answer that the model reads"
    )
    max_source_length: int = option(160, "maximum text length in tokens; longer texts are cut")
    max_target_length: int = option(40, "maximum question length in tokens")

    def __post_init__(self):
        super().__post_init__()
        require_positive(context_words=self.context_words)


@dataclasses.dataclass(frozen=True)
class Config(RecipeConfig):
    """Options of a question generation run; each field of a group is a flag."""

    data: QuestionData = QuestionData()
    run: RunOptions = RunOptions(output="runs/ask")


def read_questions(
    *paths: str | os.PathLike, columns: Sequence[str] = (), context_words: int = CONTEXT_WORDS
) -> Pairs:
    """Read (text, question) pairs from JSON in SQuAD's format, or from tables of pairs.

    A `.json` file is in SQuAD's format, unless it is a list or `columns` are given.
    """
    is_table = columns or format_of(paths[0]) != ".json"
    if is_table or read_text(paths[0]).lstrip().startswith("["):
        return read_pairs(*paths, columns=columns)
    examples = [example for path in paths for example in read_squad(path)]
    pairs = [
        (f"answer: {e.answer} context: {words_around(e, context_words)}", e.question)
        for e in examples
    ]
    # All questions about a text are held out together.
    contexts = [example.context for example in examples]
    places: list[int | str] = [example.place for example in examples]
    return Pairs(pairs, places, " and ".join(map(str, paths)), groups=contexts)


def words_around(example: Example, num_words: int) -> str:
    """Return the words of a context that are closest to the answer, the answer included."""
    before = example.context[: example.start].split()
    after = example.context[example.start :].split()
    num_before = min(len(before), max(num_words // 2, num_words - len(after)))
    return " ".join(before[len(before) - num_before :] + after[: num_words - num_before])


def train(config: Config) -> RunResult:
    """Train, export and score a model."""
    run = prepare_run(config)
    config = run.config
    read = functools.partial(read_questions, context_words=config.data.context_words)
    data = load_data(config, read)
    model = build_model(config, data.tokenizer)
    decode = Decoder(data.tokenizer, config.search, config.data.max_lengths)
    score = Score("ROUGE-L", question_scores, decode, data.valid.pairs)
    return train_and_score(run, model, data, score)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    run_recipe(__doc__, Config, train, arguments)


if __name__ == "__main__":
    main()
