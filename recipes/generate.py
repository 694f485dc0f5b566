"""Text generation: the beginning of a sentence to its continuation.

    seq2lite generate --train my.txt --output runs/mine

Data: plain text, one paragraph in each line, or a column of a table (`--columns`). The default, the
English side of the package's translation data, is small. Each example consists of the words before a place in a
paragraph and the words after it, up to the end of the sentence.

Output, in the folder `--output`: `report.md` with perplexity, curves and samples; `model.keras`; and
a bundle for each quantization mode, which samples with
`export.load(path).sample([beginning], top_p=0.9)`. To resume a stopped run, give the same command
again. Times and scores: docs/results.md.
"""

import dataclasses
import itertools
import math
import os
import random
import re
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence

from seq2lite import export
from seq2lite.export.runtime.checks import require_positive
from seq2lite.export.runtime.host_decoding import check_sampling
from seq2lite.recipes.data.batches import Batches
from seq2lite.recipes.data.options import VocabularyOptions
from seq2lite.recipes.data.pairs import Pairs
from seq2lite.recipes.data.prepare import Data, make_data
from seq2lite.recipes.data.samples import VSCODE_TRAIN
from seq2lite.recipes.data.splits import for_training, read_splits, spread
from seq2lite.recipes.data.tables import read_columns
from seq2lite.recipes.data.text_files import DataError
from seq2lite.recipes.data.tokenizers import make_tokenizer
from seq2lite.recipes.distributed.backend import can_export
from seq2lite.recipes.evaluation.bundles import export_model
from seq2lite.recipes.evaluation.evaluate import NUM_EXAMPLES
from seq2lite.recipes.options import option
from seq2lite.recipes.run.build import build_model
from seq2lite.recipes.run.command_line import run_recipe
from seq2lite.recipes.run.config import RecipeConfig, RunOptions
from seq2lite.recipes.run.folder import open_run
from seq2lite.recipes.run.prepare import prepare_run
from seq2lite.recipes.run.report import write_report
from seq2lite.recipes.training.evaluations import CrossEntropy
from seq2lite.recipes.training.fit import fit
from seq2lite.recipes.training.result import RunResult
from seq2lite.zoo import Seq2Seq


@dataclasses.dataclass(frozen=True)
class TextData(VocabularyOptions):
    """Data options; each field is a flag."""

    train: tuple[str, ...] = option(
        (str(VSCODE_TRAIN),),
        "text, one paragraph per line, or tables with a column of text; any number of files",
    )
    context_words: int = option(48, "maximum number of words that the model reads")
    max_source_length: int = option(96, "maximum length of a source in tokens")
    max_target_length: int = option(48, "maximum length of a continuation in tokens")
    places: int = option(3, "number of examples per sentence, each cut at another place")

    def __post_init__(self):
        super().__post_init__()
        require_positive(context_words=self.context_words, places=self.places)

    def check_files(self) -> None:
        """Raise ValueError if `train` is empty."""
        if not self.train:
            raise ValueError("`train` must be a file of text, or several. Received: none")


@dataclasses.dataclass(frozen=True)
class Config(RecipeConfig):
    """Options of a text generation run; each field of a group is a flag."""

    data: TextData = TextData()
    run: RunOptions = RunOptions(output="runs/generate")
    temperature: float = option(0.8, "temperature of the samples in the report")
    top_p: float = option(0.9, "nucleus probability of the samples in the report")

    def __post_init__(self):
        super().__post_init__()
        check_sampling(self.temperature, None, self.top_p)


# A final mark, of Chinese and Japanese too, and closing quotes and brackets.
SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f][\"')\]]*$")


def build_data(config: Config) -> Data:
    """Read the pairs, learn the tokenizer, and make the batches."""
    train, held_out, tests = read_splits(config.data, read_paragraphs)
    known = {s.text for text in (held_out, *tests.values()) for s in sentences(text)}
    valid = continuations(held_out, config)
    tests = {name: continuations(text, config) for name, text in tests.items()}
    # Whole sentences are held out; a beginning that many sentences share is not.
    train = for_training(continuations(train, config, known))
    return make_data(config, train, valid, tests, make_tokenizer(config, train))


def read_paragraphs(*paths: str | os.PathLike, columns: Sequence[str] = ()) -> Pairs:
    """Read a column of text files and tables as the sources of `Pairs` without targets.

    Of tab-separated text, the first column is read unless `columns` chooses another.
    """
    paragraphs, lines, notes = [], [], []
    for path in paths:
        rows, of_file = read_columns(path, columns, count=1)
        rows = [row for row in rows if row.cells[0]]
        paragraphs += [(row.cells[0], "") for row in rows]
        lines += [row.number if len(paths) == 1 else row.place for row in rows]
        notes += of_file if len(paths) == 1 else [f"{path}: {note}" for note in of_file]
    if not paragraphs:
        raise DataError(f"{paths[0]} must contain text in the column that is read. Received: none")
    return Pairs(paragraphs, lines, " and ".join(map(str, paths)), notes=notes)


class Sentence(typing.NamedTuple):
    """A sentence of a paragraph: `words[start:end]`."""

    text: str
    line: int | str
    words: list[str]
    start: int
    end: int


def sentences(paragraphs: Pairs) -> Iterator[Sentence]:
    """Yield each `Sentence` of the paragraphs. Sentences end at a word with a final mark."""
    for line, (paragraph, _) in zip(paragraphs.lines, paragraphs, strict=True):
        words = paragraph.split()
        ends = [i + 1 for i, word in enumerate(words) if SENTENCE_END.search(word)]
        for start, end in itertools.pairwise(sorted({0, *ends, len(words)})):
            yield Sentence(" ".join(words[start:end]), line, words, start, end)


def continuations(
    paragraphs: Pairs, config: Config, held_out: Collection[str] = frozenset()
) -> Pairs:
    """Make (words before a place, words after it up to the end of the sentence) pairs.

    Each sentence gives pairs at random places, and none if its text is in `held_out`.
    """
    rng = random.Random(config.training.seed)
    pairs = Pairs([], [], paragraphs.origin, paragraphs.dropped, notes=paragraphs.notes)
    num_held_out = 0
    for text, line, words, start, end in sentences(paragraphs):
        places = sorted(rng.sample(range(start, end), min(config.data.places, end - start)))
        if text in held_out:
            num_held_out += 1
            continue
        for place in places:
            if place > 0:  # some words come before it
                source = words[max(0, place - config.data.context_words) : place]
                pairs.append((" ".join(source), " ".join(words[place:end])))
                pairs.lines.append(line)
    if not pairs:
        raise DataError(
            f"{pairs.origin} must contain sentences of two or more words that are not held out. "
            f"Received: {len(paragraphs)} lines without one"
        )
    if num_held_out:
        pairs.dropped["held-out sentence"] = num_held_out
    return pairs


def train(config: Config) -> RunResult:
    """Train, export and score a model."""
    run = prepare_run(config)
    config = run.config
    data = build_data(config)
    model = build_model(config, data.tokenizer)
    with open_run(run) as folder:
        result = fit(model, data, config.training, folder)
        if can_export():  # under JAX, `open_run` prints the command for the rest
            result = export_model(result, config)
            tests, model, reports = data.tests.items(), result.model, result.reports
            result = dataclasses.replace(
                result,
                scores={name: perplexities(config, model, data, pairs) for name, pairs in tests},
                examples={name: samples(config, reports, pairs) for name, pairs in tests},
            )
            write_report(result, run)
    return result


def perplexities(
    config: Config, model: Seq2Seq, data: Data, pairs: Sequence[tuple[str, str]]
) -> dict[str, dict[str, float | None]]:
    """Compute the perplexity of continuations per token and word, and the bits per character."""
    options: dict[str, typing.Any] = {
        "max_length": config.data.max_lengths,
        "batch_tokens": config.training.batch_tokens,
    }
    batches = Batches(pairs, data.tokenizer, **options)
    num_tokens = sum(float(weight.sum()) for *_, weight in batches.dataset().as_numpy_iterator())
    nats = CrossEntropy(model).measure(batches) * num_tokens
    # Words that are cut off are not predicted, and do not count.
    tokenizer = batches.tokenizers.target
    rows = tokenizer.encode([target for _, target in pairs])
    targets = tokenizer.decode([ids[: config.data.max_target_length - 1] for ids in rows])
    return {
        "Keras": {
            "perplexity per token": _perplexity(nats / num_tokens),
            "perplexity per word": _perplexity(nats / sum(len(t.split()) for t in targets)),
            "bits per character": nats / math.log(2) / sum(map(len, targets)),
        }
    }


def _perplexity(nats):
    """Return the perplexity, or None if it exceeds all floats: text without spaces is one word."""
    return math.exp(nats) if nats < 700 else None


def samples(
    config: Config, reports: Mapping[str, export.Report], pairs: Sequence[tuple[str, str]]
) -> list[tuple[str, str, dict[str, str]]]:
    """Sample continuations of some sources with every bundle."""
    pairs = spread(pairs, NUM_EXAMPLES)
    sources = [source for source, _ in pairs]
    options: dict[str, typing.Any] = {
        "temperature": config.temperature,
        "top_p": config.top_p,
        "seed": config.training.seed,
    }
    outputs = {name: export.load(r.path).sample(sources, **options) for name, r in reports.items()}
    return [
        (source, target, {name: texts[i] for name, texts in outputs.items()})
        for i, (source, target) in enumerate(pairs)
    ]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    run_recipe(__doc__, Config, train, arguments)


if __name__ == "__main__":
    main()
