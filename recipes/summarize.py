"""Summarization: a text to a summary of one line.

    seq2lite summarize
    seq2lite fetch summarize --output data/summarize
    seq2lite summarize --train data/summarize/train.tsv.gz \\
        --valid data/summarize/valid.tsv.gz --output runs/mine

Data: tab-separated text, CSV, JSON, JSON Lines, Parquet or a folder of Hugging Face `datasets`, with a
column of texts and one of summaries; or a file of texts and a file of summaries, line by line. The default data are docstrings of Keras and TensorFlow with their first lines, which are part
of the package. The second command makes 53,000 pairs of package descriptions.

Output, in the folder `--output`: `report.md` with ROUGE, curves and examples; `model.keras`; and a
bundle for each quantization mode, such as `int8/`. The baseline is the first words of
each text. To resume a stopped run, give the same command again. Times and scores: docs/results.md.
"""

import dataclasses
from typing import ClassVar

from seq2lite.export.runtime.checks import require_positive
from seq2lite.recipes.data.load import load_data
from seq2lite.recipes.data.options import VocabularyOptions, vocabulary_help
from seq2lite.recipes.data.samples import DOCSTRINGS_TRAIN
from seq2lite.recipes.evaluation.decoding import Decoder, Score
from seq2lite.recipes.evaluation.metrics import rouge_scores
from seq2lite.recipes.options import option
from seq2lite.recipes.run.build import build_model
from seq2lite.recipes.run.command_line import run_recipe
from seq2lite.recipes.run.config import RecipeConfig, RunOptions
from seq2lite.recipes.run.pipeline import train_and_score
from seq2lite.recipes.run.prepare import prepare_run
from seq2lite.recipes.training.result import RunResult


@dataclasses.dataclass(frozen=True)
class SummaryData(VocabularyOptions):
    """Data options; each field is a flag."""

    train: tuple[str, ...] = option(
        (str(DOCSTRINGS_TRAIN),), "a table of texts and summaries; or a file of lines for each side"
    )
    automatic_vocabulary_size: ClassVar[int] = 8000
    vocabulary_size: int = option(0, vocabulary_help(8000))
    max_source_length: int = option(192, "maximum text length in tokens; longer texts are cut")
    max_target_length: int = option(32, "maximum summary length in tokens")


@dataclasses.dataclass(frozen=True)
class Config(RecipeConfig):
    """Options of a summarization run; each field of a group is a flag."""

    data: SummaryData = SummaryData()
    run: RunOptions = RunOptions(output="runs/summarize")
    baseline_words: int = option(12, "number of first words that are the baseline summary")

    def __post_init__(self):
        super().__post_init__()
        require_positive(baseline_words=self.baseline_words)


def first_words(texts: list[str], num_words: int) -> list[str]:
    """Return the first words of each text: the baseline summary."""
    return [" ".join(text.split()[:num_words]) for text in texts]


def train(config: Config) -> RunResult:
    """Train, export and score a model."""
    run = prepare_run(config)
    config = run.config
    data = load_data(config)
    model = build_model(config, data.tokenizer)
    decode = Decoder(data.tokenizer, config.search, config.data.max_lengths)
    score = Score("ROUGE-L", rouge_scores, decode, data.valid.pairs)
    num_words = config.baseline_words
    baselines = {f"first {num_words} words": lambda texts: first_words(texts, num_words)}
    return train_and_score(run, model, data, score, baselines=baselines)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    run_recipe(__doc__, Config, train, arguments)


if __name__ == "__main__":
    main()
