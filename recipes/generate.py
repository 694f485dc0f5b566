"""Text generation: how a text that has begun goes on.

    python -m seq2lite.recipes.generate --train my.txt --output runs/mine

Needs: plain text, a paragraph a line; by default the English of the strings that come with this package,
which is little. Each example is the words before a place in a paragraph, and what follows up to the
end of a sentence. Gives, in `--output`: `report.md` with curves, perplexity and samples;
`model.keras`; and a bundle for each quantization, whose runner samples
(`export.load(path).sample([beginning], top_p=0.9)`).
"""

import dataclasses
import itertools
import math
import random
import re
from collections import namedtuple

import keras

from seq2lite import export, zoo
from seq2lite.export.runtime.checks import require_positive
from seq2lite.export.runtime.host_search import check_sampling
from seq2lite.recipes.data.batches import Batches
from seq2lite.recipes.data.pairs import Pairs
from seq2lite.recipes.data.prepare import make_batches
from seq2lite.recipes.data.samples import VSCODE_TRAIN
from seq2lite.recipes.data.splits import for_training, input_files, read_splits, spread
from seq2lite.recipes.data.text_files import DataError, read_lines
from seq2lite.recipes.data.tokenizers import learn_tokenizer
from seq2lite.recipes.distributed.precision import precision
from seq2lite.recipes.evaluation.bundles import export_bundles
from seq2lite.recipes.evaluation.decoding import Search
from seq2lite.recipes.evaluation.evaluate import NUM_EXAMPLES
from seq2lite.recipes.options import option
from seq2lite.recipes.run.command_line import run_recipe
from seq2lite.recipes.run.folder import check_run_folder, open_run, save_model
from seq2lite.recipes.run.model_options import builder_options, check_model, training_of
from seq2lite.recipes.run.report import write_report
from seq2lite.recipes.training.evaluations import nats_a_token
from seq2lite.recipes.training.fit import fit
from seq2lite.recipes.training.options import Training


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run depends on; each field is a flag."""

    train: tuple[str, ...] = option(
        (str(VSCODE_TRAIN),), "text, a paragraph a line, up to a tab if it has one; .gz or plain"
    )
    valid: tuple[str, ...] = option(
        (), "held-out text, which chooses the best round; default: a part of --train"
    )
    test: tuple[str, ...] = option((), "files of text to score in the end; default: --valid")
    output: str = option("runs/generate", "run folder")
    overwrite: bool = option(
        False, "replace the run in the folder: a finished one, or one of other options"
    )
    preset: str = option("rnn_tiny", f"one of {', '.join(zoo.list_presets())}")
    dropout: float = option(0.1, "of the preset's layers")
    architecture: tuple[str, ...] = option(
        (), "what differs from the preset, as num_layers=3 (docs/zoo.md has all options)"
    )
    vocabulary_size: int = option(4000, "pieces of the SentencePiece model")
    context_words: int = option(48, "words before a place that the model reads")
    max_source_length: int = option(96, "tokens of them")
    max_target_length: int = option(48, "tokens that follow")
    places: int = option(3, "examples of a sentence: its beginning is cut at so many places")
    temperature: float = option(0.8, "of the samples in the report")
    top_p: float = option(0.9, "of the samples in the report")
    quantizations: tuple[str, ...] = option(
        ("float32", "int8"), f"a bundle for each of {', '.join(export.QUANTIZATIONS)}; alone: none"
    )
    training: Training = Training()
    search: Search = Search()

    def __post_init__(self):
        check_model(self)
        if not self.train:
            raise ValueError("`train` must be a file of text, or several. Received: none")
        check_sampling(self.temperature, None, self.top_p)
        require_positive(context_words=self.context_words, places=self.places)

    @property
    def lengths(self):
        """Most tokens of a source and of a target."""
        return self.max_source_length, self.max_target_length

    @property
    def inputs(self):
        """The data files."""
        return input_files(self)


SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f][\"')\]]*$")  # of Chinese and Japanese too
Data = namedtuple("Data", ["tokenizer", "train", "valid", "tests"])
Result = namedtuple("Result", ["model", "tokenizer", "scores", "reports"])


def build_data(config):
    """Reads the pairs, learns the tokenizer, and makes the batches."""
    train, held_out, tests = read_splits(config, read_paragraphs)
    known = {s for text in (held_out, *tests.values()) for s, *_ in sentences_of(text)}
    valid = beginnings(held_out, config)
    tests = {name: beginnings(text, config) for name, text in tests.items()}
    # Sentences are held out, not what many of them begin with.
    train = for_training(beginnings(train, config, known))
    tokenizer = learn_tokenizer((text for pair in train for text in pair), config.vocabulary_size)
    batches = make_batches(train, valid, tests, tokenizer, config.training, config.lengths)
    return Data(tokenizer, *batches, tests)


def read_paragraphs(*paths):
    """The lines of text files, up to a tab, as sources of `Pairs` without targets."""
    lines = [
        (line.number if len(paths) == 1 else line.place, paragraph)
        for path in paths
        for line in read_lines(path)
        if (paragraph := line.text.split("\t")[0].strip())
    ]
    if not lines:
        raise DataError(f"{paths[0]} must hold text before its tabs. Received: none")
    return Pairs(
        [(paragraph, "") for _, paragraph in lines],
        [number for number, _ in lines],
        " and ".join(map(str, paths)),
    )


def beginnings(text, config, known=frozenset()):
    """Pairs of (words before a place, what follows to the end of the sentence).

    Sentences that are `known` are left out: they are held out.
    """
    chance = random.Random(config.training.seed)
    pairs = Pairs([], [], text.origin, text.dropped)
    num_known = 0
    for sentence, number, words, start, end in sentences_of(text):
        places = sorted(chance.sample(range(start, end), min(config.places, end - start)))
        num_known += sentence in known
        for place in places if sentence not in known else ():
            if place > 0:  # something has begun
                source = words[max(0, place - config.context_words) : place]
                pairs.append((" ".join(source), " ".join(words[place:end])))
                pairs.lines.append(number)
    if not pairs:
        raise DataError(
            f"{pairs.origin} must hold sentences of two words that are not held out. Received: none "
            f"of {len(text)} lines"
        )
    if num_known:
        pairs.dropped["held-out sentence"] = num_known
    return pairs


def sentences_of(text):
    """(sentence, line number, the paragraph's words, first, behind the last) of paragraphs."""
    for number, (paragraph, _) in zip(text.lines, text, strict=True):
        words = paragraph.split()
        for start, end in sentences(words):
            yield " ".join(words[start:end]), number, words, start, end


def sentences(words):
    """(first, behind the last) of each sentence, by marks at the end of words."""
    ends = [i + 1 for i, word in enumerate(words) if SENTENCE_END.search(word)]
    bounds = sorted({0, *ends, len(words)})
    return list(itertools.pairwise(bounds))


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
    with open_run(config, config.inputs) as folder:
        model, history = fit(model, data.train, data.valid, training_of(config), folder)
        save_model(model, data.tokenizer, folder)
        reports = export_bundles(config, folder, model, data)
        scores = {
            test: perplexities(config, model, data, pairs) for test, pairs in data.tests.items()
        }
        examples = {test: samples(config, reports, pairs) for test, pairs in data.tests.items()}
        write_report(config, folder, model, data, history, None, reports, scores, examples)
    return Result(model, data.tokenizer, scores, reports)


def perplexities(config, model, data, pairs):
    """Of what follows, given what came before: a token, a word, and bits a character."""
    options = {"max_length": config.lengths, "batch_tokens": config.training.batch_tokens}
    batches = Batches(pairs, data.tokenizer, **options)
    num_tokens = sum(float(weight.sum()) for *_, weight in batches.dataset().as_numpy_iterator())
    nats = nats_a_token(model, batches) * num_tokens
    # What is cut off is not predicted either.
    rows = data.tokenizer.encode([target for _, target in pairs])
    targets = data.tokenizer.decode([ids[: config.max_target_length - 1] for ids in rows])
    return {
        "Keras": {
            "perplexity a token": _perplexity(nats / num_tokens),
            "perplexity a word": _perplexity(nats / sum(len(t.split()) for t in targets)),
            "bits a character": nats / math.log(2) / sum(map(len, targets)),
        }
    }


def _perplexity(nats):
    """None beyond all floats: a text that has no spaces is a single word."""
    return math.exp(nats) if nats < 700 else None


def samples(config, reports, pairs):
    """What every bundle makes of some beginnings."""
    pairs = spread(pairs, NUM_EXAMPLES)
    sources = [source for source, _ in pairs]
    options = {
        "temperature": config.temperature,
        "top_p": config.top_p,
        "seed": config.training.seed,
    }
    said = {name: export.load(r.path).sample(sources, **options) for name, r in reports.items()}
    return [
        (source, target, {name: texts[i] for name, texts in said.items()})
        for i, (source, target) in enumerate(pairs)
    ]


def main(arguments=None):
    """The command line."""
    run_recipe(__doc__, Config, train, arguments)


if __name__ == "__main__":
    main()
