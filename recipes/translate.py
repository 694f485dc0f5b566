"""Machine translation: a sentence to its translation.

    seq2lite translate
    seq2lite translate --train my.tsv --output runs/mine
    seq2lite translate --train my.en my.de --valid valid.en valid.de --languages en de

Data: tab-separated text, CSV, JSON, JSON Lines, Parquet or a folder of Hugging Face `datasets`, with a
column of sources and one of targets; or a file of sources and a file of targets, line by line. The
default data are 12,722 English-Korean strings of Visual Studio Code's interface, which are
part of the package.

Output, in the folder `--output`: `report.md` with scores, curves and examples; `model.keras`; and a
bundle for each quantization mode, such as `int8/`. To resume a stopped run, give the same command
again. Times and scores: docs/results.md.
"""

import dataclasses

from seq2lite.recipes.data.load import load_data
from seq2lite.recipes.data.options import VocabularyOptions
from seq2lite.recipes.data.samples import VSCODE_TRAIN, is_of_package
from seq2lite.recipes.evaluation.decoding import Decoder, Score
from seq2lite.recipes.evaluation.metrics import translation_scores
from seq2lite.recipes.options import option
from seq2lite.recipes.run.build import build_model
from seq2lite.recipes.run.command_line import run_recipe
from seq2lite.recipes.run.config import RecipeConfig, RunOptions
from seq2lite.recipes.run.pipeline import train_and_score
from seq2lite.recipes.run.prepare import prepare_run
from seq2lite.recipes.training.result import RunResult


@dataclasses.dataclass(frozen=True)
class TranslationData(VocabularyOptions):
    """Data options; each field is a flag."""

    train: tuple[str, ...] = option(
        (str(VSCODE_TRAIN),), "a table of sources and targets; or a file of lines for each side"
    )
    max_length: int = option(96, "maximum length in tokens; longer sentences are cut")

    @property
    def default_languages(self) -> tuple[str, ...]:
        """Language tags of the data of the package; none for other data."""
        return ("en", "ko") if is_of_package(self.train) else ()

    @property
    def max_lengths(self) -> tuple[int, int]:
        """Maximum source and target length in tokens."""
        return self.max_length, self.max_length


@dataclasses.dataclass(frozen=True)
class Config(RecipeConfig):
    """Options of a translation run; each field of a group is a flag."""

    data: TranslationData = TranslationData()
    run: RunOptions = RunOptions(output="runs/translate")


def train(config: Config) -> RunResult:
    """Train, export and score a model."""
    run = prepare_run(config)
    config = run.config
    data = load_data(config)
    model = build_model(config, data.tokenizer)
    decode = Decoder(data.tokenizer, config.search, config.data.max_lengths)
    score = Score("chrF", translation_scores, decode, data.valid.pairs)
    return train_and_score(run, model, data, score)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    run_recipe(__doc__, Config, train, arguments)


if __name__ == "__main__":
    main()
