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

from seq2lite import export
from seq2lite.export.runtime.checks import require_positive
from seq2lite.export.runtime.host_search import check_sampling
from seq2lite.recipes.data.batches import Batches
from seq2lite.recipes.data.options import DataOptions
from seq2lite.recipes.data.pairs import Pairs
from seq2lite.recipes.data.prepare import make_data
from seq2lite.recipes.data.samples import VSCODE_TRAIN
from seq2lite.recipes.data.splits import for_training, read_splits, spread
from seq2lite.recipes.data.text_files import DataError, read_lines
from seq2lite.recipes.data.tokenizers import learn_tokenizer
from seq2lite.recipes.distributed.backend import can_export
from seq2lite.recipes.evaluation.bundles import export_model
from seq2lite.recipes.evaluation.evaluate import NUM_EXAMPLES
from seq2lite.recipes.options import option
from seq2lite.recipes.run.command_line import run_recipe
from seq2lite.recipes.run.config import RecipeConfig, RunOptions
from seq2lite.recipes.run.folder import open_run, prepare_run
from seq2lite.recipes.run.model import build_model
from seq2lite.recipes.run.report import write_report
from seq2lite.recipes.training.fit import fit
from seq2lite.recipes.training.loss import cross_entropy


@dataclasses.dataclass(frozen=True)
class TextData(DataOptions):
    """Data options; each field is a flag."""

    train: tuple[str, ...] = option(
        (str(VSCODE_TRAIN),),
        "text, one paragraph per line, up to a tab if the line has one; plain or .gz",
    )
    vocabulary_size: int = option(4000, "number of subwords of the vocabulary")
    context_words: int = option(48, "maximum number of words that the model reads")
    max_source_length: int = option(96, "maximum length in tokens of the text that it reads")
    max_target_length: int = option(48, "maximum length in tokens of the text that follows")
    places: int = option(3, "number of examples per sentence, cut at different places")

    def __post_init__(self):
        if not self.train:
            raise ValueError("`train` must be a file of text, or several. Received: none")
        require_positive(context_words=self.context_words, places=self.places)

    @property
    def max_lengths(self):
        """Maximum source and target length in tokens."""
        return self.max_source_length, self.max_target_length


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


SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f][\"')\]]*$")  # of Chinese and Japanese too


def build_data(config):
    """Reads the pairs, learns the tokenizer, and makes the batches."""
    train, held_out, tests = read_splits(config.data, read_paragraphs)
    known = {s for text in (held_out, *tests.values()) for s, *_ in sentences_of(text)}
    valid = beginnings(held_out, config)
    tests = {name: beginnings(text, config) for name, text in tests.items()}
    # Sentences are held out, not what many of them begin with.
    train = for_training(beginnings(train, config, known))
    texts = (text for pair in train for text in pair)
    tokenizer = learn_tokenizer(texts, config.data.vocabulary_size)
    return make_data(config, train, valid, tests, tokenizer)


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
        places = sorted(chance.sample(range(start, end), min(config.data.places, end - start)))
        num_known += sentence in known
        for place in places if sentence not in known else ():
            if place > 0:  # something has begun
                source = words[max(0, place - config.data.context_words) : place]
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


def train(config):
    """Trains, exports and scores a model; returns a `RunResult`."""
    config = prepare_run(config)
    data = build_data(config)
    model = build_model(config.model, config.training, data.tokenizer)
    with open_run(config) as folder:
        result = fit(model, data, config.training, folder)
        if can_export():  # under JAX, `run_recipe` starts a second command for the rest
            result = export_model(result, config)
            tests, model, reports = data.tests.items(), result.model, result.reports
            result = dataclasses.replace(
                result,
                scores={name: perplexities(config, model, data, pairs) for name, pairs in tests},
                examples={name: samples(config, reports, pairs) for name, pairs in tests},
            )
            write_report(result, config)
    return result


def perplexities(config, model, data, pairs):
    """Of what follows, given what came before: a token, a word, and bits a character."""
    options = {"max_length": config.data.max_lengths, "batch_tokens": config.training.batch_tokens}
    batches = Batches(pairs, data.tokenizer, **options)
    num_tokens = sum(float(weight.sum()) for *_, weight in batches.dataset().as_numpy_iterator())
    nats = cross_entropy(model, batches) * num_tokens
    # What is cut off is not predicted either.
    rows = data.tokenizer.encode([target for _, target in pairs])
    targets = data.tokenizer.decode([ids[: config.data.max_target_length - 1] for ids in rows])
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
