"""Text generation: how a text that has begun goes on.

    python -m seq2lite.recipes.generate --train my.txt --valid my-valid.txt --output runs/mine

Needs: plain text, a paragraph a line; by default the English of the strings that come with this package,
which is little. Each example is the words before a place in a paragraph, and what follows up to the
end of a sentence. Gives, in `--output`: `report.md` with curves, perplexity and samples;
`model.keras`; and a bundle for each quantization, whose runner samples
(`export.load(path).sample([beginning], top_p=0.9)`). Time and scores: docs/results.md.
"""

import dataclasses
import itertools
import math
import random
import re
from collections import namedtuple

import keras

from seq2lite import export, zoo
from seq2lite.export.bundle import check_quantizations
from seq2lite.export.host_search import check_sampling
from seq2lite.export.runtime import require_positive
from seq2lite.export.signatures import length_limits
from seq2lite.recipes.batches import Batches, make_batches
from seq2lite.recipes.bundles import export_bundles
from seq2lite.recipes.command import check_choices, option, run_recipe
from seq2lite.recipes.decoding import Search
from seq2lite.recipes.pairs import (
    VSCODE_TRAIN,
    VSCODE_VALID,
    DataError,
    Pairs,
    for_training,
    read_lines,
)
from seq2lite.recipes.precision import precision
from seq2lite.recipes.report import NUM_EXAMPLES, write_report
from seq2lite.recipes.run_folder import check_run_folder, open_run, save_model
from seq2lite.recipes.text import learn_tokenizer
from seq2lite.recipes.training import Training, fit, nats_a_token, spread


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run depends on; each field is a flag."""

    train: tuple[str, ...] = option(
        (str(VSCODE_TRAIN),), "text, a paragraph a line, up to a tab if it has one; .gz or plain"
    )
    valid: tuple[str, ...] = option(
        (str(VSCODE_VALID),), "held-out text, which chooses the best round"
    )
    test: tuple[str, ...] = option((), "files of text to score in the end; default: --valid")
    output: str = option("runs/generate", "run folder")
    overwrite: bool = option(False, "replace what a finished run left in the folder")
    preset: str = option("transformer_tiny", f"one of {', '.join(zoo.list_presets())}")
    dropout: float = option(0.1, "of the preset's layers")
    vocabulary_size: int = option(4000, "pieces of the SentencePiece model")
    context_words: int = option(48, "words before a place that the model reads")
    max_source_length: int = option(96, "tokens of them")
    max_target_length: int = option(48, "tokens that follow")
    places: int = option(3, "examples of a sentence: its beginning is cut at so many places")
    temperature: float = option(0.8, "of the samples in the report")
    top_p: float = option(0.9, "of the samples in the report")
    quantizations: tuple[str, ...] = option(
        ("float32", "int8"), f"a bundle for each, or none; of {', '.join(export.QUANTIZATIONS)}"
    )
    training: Training = Training()
    search: Search = Search()

    def __post_init__(self):
        check_choices("preset", [self.preset], zoo.list_presets())
        if self.quantizations:
            check_quantizations(self.quantizations)
        length_limits(*self.lengths)
        check_sampling(self.temperature, None, self.top_p)
        require_positive(context_words=self.context_words, places=self.places)

    @property
    def lengths(self):
        """Most tokens of a source and of a target."""
        return self.max_source_length, self.max_target_length

    @property
    def inputs(self):
        """The data files."""
        return (*self.train, *self.valid, *self.test)


SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f][\"')\]]*$")  # of Chinese and Japanese too
Data = namedtuple("Data", ["tokenizer", "train", "valid", "tests"])
Result = namedtuple("Result", ["model", "tokenizer", "scores", "reports"])


def build_data(config):
    """Reads the pairs, learns the tokenizer, and makes the batches."""
    valid = read_beginnings(config.valid, config)
    tests = {path: read_beginnings([path], config) for path in config.test}
    tests = tests or {config.valid[0]: valid}
    known = {s for path in (*config.valid, *config.test) for s, *_ in sentences_of(path)}
    train = for_training(read_beginnings(config.train, config, known), valid, *tests.values())
    tokenizer = learn_tokenizer(
        (text for pair in train for text in pair), config.vocabulary_size, config.training.seed
    )
    batches = make_batches(train, valid, tokenizer, config.training, config.lengths)
    return Data(tokenizer, *batches, tests)


def read_beginnings(paths, config, known=frozenset()):
    """Pairs of (words before a place, what follows to the end of the sentence).

    Sentences that are `known` are left out: they are held out.
    """
    chance = random.Random(config.training.seed)
    pairs = Pairs([], [], ", ".join(paths))
    num_known = 0
    for path in paths:
        for sentence, number, words, start, end in sentences_of(path):
            places = sorted(chance.sample(range(start, end), min(config.places, end - start)))
            num_known += sentence in known
            for place in places if sentence not in known else ():
                if place > 0:  # something has begun
                    source = words[max(0, place - config.context_words) : place]
                    pairs.append((" ".join(source), " ".join(words[place:end])))
                    pairs.lines.append(number)
    if not pairs:
        raise DataError(f"{pairs.origin} must hold sentences of two words. Received: none")
    if num_known:
        pairs.dropped["a held-out sentence"] = num_known
    return pairs


def sentences_of(path):
    """(sentence, line number, the paragraph's words, first, behind the last) of a text."""
    for number, line in enumerate(read_lines(path), start=1):
        words = line.split("\t")[0].split()
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
        return zoo.build(config.preset, dropout=config.dropout, **data.tokenizer.vocabulary)


def train(config):
    """Trains, exports, scores."""
    check_run_folder(config, config.inputs)
    data = build_data(config)
    model = build_model(config, data)
    with open_run(config, config.inputs) as folder:
        model, history = fit(model, data.train, data.valid, config.training, folder)
        save_model(model, data.tokenizer, folder)
        reports = export_bundles(
            config,
            folder,
            model,
            data.tokenizer,
            data.train.pairs,
            data.valid.pairs,
            config.lengths,
        )
        scores = {
            test: perplexities(config, model, data, pairs) for test, pairs in data.tests.items()
        }
        examples = {test: samples(config, reports, pairs) for test, pairs in data.tests.items()}
        write_report(config, folder, model, history, scores, examples, reports)
    return Result(model, data.tokenizer, scores, reports)


def perplexities(config, model, data, pairs):
    """Of what follows, given what came before: a token, a word, and bits a character."""
    options = {"max_length": config.lengths, "batch_tokens": config.training.batch_tokens}
    batches = Batches(pairs, data.tokenizer, **options)
    num_tokens = sum(float(weight.sum()) for *_, weight in batches.dataset().as_numpy_iterator())
    nats = nats_a_token(model, batches) * num_tokens
    targets = [target for _, target in pairs]
    return {
        "Keras": {
            "perplexity a token": math.exp(nats / num_tokens),
            "perplexity a word": math.exp(nats / sum(len(target.split()) for target in targets)),
            "bits a character": nats / math.log(2) / sum(map(len, targets)),
        }
    }


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
