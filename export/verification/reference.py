"""The outputs of the Keras model, with which exported files are compared."""

from dataclasses import dataclass

import numpy as np
import sacrebleu
import tensorflow as tf

from seq2lite.zoo.search.greedy import greedy_search

from ..runtime.checks import quote
from ..runtime.runner import Runner
from ..runtime.text import decode, pad
from ..runtime.tokenizer import Tokenizers
from .probe import search_all

NUM_TEACHER_FORCED = 16  # sentences whose logits are compared, the longest ones
MAX_STEPS = 48  # steps compared per sentence


@dataclass(frozen=True)
class Parity:
    """The differences between a file and Keras on held-out text.

    Attributes:
        max_logit_error: Maximum absolute logit difference.
        relative_logit_error: The same, relative to the largest absolute logit.
        token_agreement: Fraction of teacher-forced steps with the same most probable token.
        generate_agreement: Fraction of equal `generate` outputs, among the compared sentences whose
            teacher-forced steps all agree; 1 without such a sentence.
        same_outputs: Fraction of all sentences with equal output text.
        keras_chrf: Corpus chrF of Keras against the references.
        file_chrf: Corpus chrF of the file against the references.
        chrf_signature: SacreBLEU's signature of chrF.
        keras_bleu: Corpus BLEU of Keras against the references.
        file_bleu: Corpus BLEU of the file against the references.
        bleu_signature: SacreBLEU's signature of BLEU.
        num_sentences: Number of generated sentences.
        num_steps: Number of steps whose logits were compared.
        worst: Sentence and step of the largest logit difference.
        first_difference: First sentence whose output differs, with both outputs.
    """

    max_logit_error: float
    relative_logit_error: float
    token_agreement: float
    generate_agreement: float
    same_outputs: float
    keras_chrf: float
    file_chrf: float
    chrf_signature: str
    keras_bleu: float
    file_bleu: float
    bleu_signature: str
    num_sentences: int
    num_steps: int
    worst: str
    first_difference: str


class KerasReference:
    """The outputs of a Keras model on held-out text.

    Args:
        model: A `zoo.Seq2Seq`.
        tokenizers: Its `Tokenizers`.
        pairs: List of (source, reference) that the model was not trained on.
        limits: dict of `max_source_length` and `max_target_length`.

    Attributes:
        sources: The sources that are not blank, the longest first.
        references: Their references.
        source: Padded ids of the sources, int32 `(n, source_length)`.
        lengths: Length of each row of `source`.
        tokens: Tokens from greedy search, int32 `(n, max_target_length)`.
        token_lengths: Number of tokens in each row of `tokens`.
        texts: The decoded tokens.
        logits: Teacher-forced logits of the first sentences.
    """

    def __init__(self, model, tokenizers: Tokenizers, pairs, limits: dict):
        self.tokenizers = tokenizers
        self.runner = keras_runner(model, tokenizers, limits)
        self.max_length = limits["max_target_length"]
        self.ids = {name: getattr(model, name) for name in ("pad_id", "start_id", "end_id")}
        self.padding = int(model.source_spec.padding)
        ids = self.runner.source_ids([source for source, _ in pairs])
        kept = [i for i, row in enumerate(ids) if row]
        order = sorted(kept, key=lambda i: -len(ids[i]))
        self.sources, self.references = zip(*(pairs[i] for i in order), strict=True)
        self.lengths = np.array([len(ids[i]) for i in order])
        self.source = pad([ids[i] for i in order], self.padding)
        self.tokens, self.token_lengths = search_all(
            self.runner.engine.greedy, self.source, self.lengths, self.max_length
        )
        self.texts = decode(tokenizers.target, self.tokens, self.token_lengths)
        tokens, token_lengths = self.runner.engine.greedy(
            self.source[:NUM_TEACHER_FORCED], min(self.max_length, MAX_STEPS)
        )
        start = np.full((len(tokens), 1), model.start_id, np.int32)
        self.teacher = np.concatenate([start, tokens], axis=1)
        # Without the step after the last token: the cache of a static file has no slot for it.
        num_steps = np.minimum(token_lengths + 1, self.max_length)
        self.steps = np.arange(self.teacher.shape[1]) < num_steps[:, None]
        inputs = {"source": self.source[:NUM_TEACHER_FORCED], "target": self.teacher}
        self.logits = model(inputs, training=False).numpy()

    @property
    def inputs(self):
        """The arguments of `probe`."""
        names = "source", "lengths", "max_length", "teacher", "padding"
        return {**{name: getattr(self, name) for name in names}, **self.ids}

    def compare(self, outputs: dict) -> Parity:
        """Compare the outputs of a file, as `probe` returns them, with those of Keras."""
        texts = decode(self.tokenizers.target, outputs["tokens"], outputs["token_lengths"])
        error = np.abs(outputs["logits"] - self.logits).max(axis=-1)
        # NaN counts as the largest error; as a number it would compare as none.
        error = np.where(self.steps, np.where(np.isnan(error), np.inf, error), 0)
        agree = outputs["logits"].argmax(-1) == self.logits.argmax(-1)
        # If all steps agree, `generate` must give the same tokens.
        agreeing = (agree | ~self.steps).all(axis=-1)
        width = self.teacher.shape[1] - 1
        same = (outputs["tokens"][: len(agreeing), :width] == self.teacher[:, 1:]).all(axis=-1)
        differing = [
            f"{quote(source)}: Keras generates {quote(expected)}, the file {quote(found)}"
            for source, expected, found in zip(self.sources, self.texts, texts, strict=True)
            if found != expected
        ]
        sentence, step = np.unravel_index(error.argmax(), error.shape)
        largest = np.abs(self.logits[self.steps]).max()
        return Parity(
            max_logit_error=float(error.max()),
            relative_logit_error=float(error.max() / largest),
            token_agreement=float(agree[self.steps].mean()),
            generate_agreement=float(same[agreeing].mean()) if agreeing.any() else 1.0,
            same_outputs=float(np.mean([a == b for a, b in zip(texts, self.texts, strict=True)])),
            **self._scores(texts),
            num_sentences=len(texts),
            num_steps=int(self.steps.sum()),
            worst=f"step {step} of {quote(self.sources[sentence])}",
            first_difference=differing[0] if differing else "none",
        )

    def _scores(self, texts):
        """BLEU and chrF of Keras and of the file against the references, and their signatures."""
        scores = {}
        for name, metric in (("bleu", sacrebleu.BLEU()), ("chrf", sacrebleu.CHRF())):
            for who, outputs in (("keras", self.texts), ("file", texts)):
                score = metric.corpus_score(outputs, [list(self.references)]).score
                scores[f"{who}_{name}"] = score
            scores[f"{name}_signature"] = metric.get_signature().format()
        return scores


def keras_runner(model, tokenizers: Tokenizers, limits: dict) -> Runner:
    """Return a `Runner` over a Keras model."""
    padding = {"padding": model.source_spec.padding}
    return Runner({**limits, **padding}, tokenizers, KerasEngine(model))


class KerasEngine:
    """The greedy search of a Keras model as the engine of a `Runner`, in a tf.function."""

    has_beam = False

    def __init__(self, model):
        spec = model.source_spec

        @tf.function(
            input_signature=[tf.TensorSpec(spec.shape(), spec.dtype), tf.TensorSpec((), tf.int32)],
            autograph=False,
        )
        def search(source, max_length):
            return greedy_search(model, source, max_length)

        self._search = search

    def greedy(self, source, max_length):
        """Return tokens `(batch, length)` and lengths `(batch,)`."""
        return tuple(output.numpy() for output in self._search(source, max_length))
