"""The outputs of the Keras model, with which exported files are compared."""

from dataclasses import dataclass

import numpy as np
import sacrebleu

from seq2lite.zoo.text import TextSettings

from ..runtime.engine import best_search
from ..runtime.runner import Runner
from ..runtime.text import decode, pad
from ..runtime.tokenizer import Tokenizers
from .probe import MAX_STEPS, search_all

GREEDY = {"num_beams": 1, "length_penalty": 0.0}  # a search
NUM_TEACHER_FORCED = 16  # sentences whose logits are compared, the longest ones


@dataclass(frozen=True)
class Parity:
    """The differences between a file and Keras on held-out text.

    Attributes:
        max_logit_error: Maximum absolute logit difference.
        relative_logit_error: The same, relative to the largest absolute logit.
        token_agreement: Fraction of teacher-forced steps with the same most probable token.
        search_agreement: Fraction of the sentences with compared steps for which the search in the
            file finds the target that the same search on the host finds over the file's steps. Of a
            static file, which has no search inside: fraction of the sentences whose compared steps
            all agree for which greedy search over the file finds the tokens of Keras. None if there
            is no such sentence.
        same_outputs: Fraction of all sentences with equal output text.
        keras_chrf: Corpus chrF of Keras against the references.
        file_chrf: Corpus chrF of the file against the references.
        chrf_signature: SacreBLEU's signature of chrF.
        keras_bleu: Corpus BLEU of Keras against the references.
        file_bleu: Corpus BLEU of the file against the references.
        bleu_signature: SacreBLEU's signature of BLEU.
        num_sentences: Number of generated sentences.
        num_steps: Number of steps whose logits were compared.
        worst_source: Sentence of the largest logit difference.
        worst_step: Step of the largest logit difference, from 0.
        example: Source, output of Keras and output of the file for the first sentence whose outputs
            differ; None if all are equal.
    """

    max_logit_error: float
    relative_logit_error: float
    token_agreement: float
    search_agreement: float | None
    same_outputs: float
    keras_chrf: float
    file_chrf: float
    chrf_signature: str
    keras_bleu: float
    file_bleu: float
    bleu_signature: str
    num_sentences: int
    num_steps: int
    worst_source: str
    worst_step: int
    example: tuple[str, str, str] | None


class KerasReference:
    """The outputs of a Keras model on held-out text.

    Args:
        model: A `zoo.Seq2Seq`.
        tokenizers: Its `Tokenizers`.
        pairs: List of (source, reference) that the model was not trained on.
        limits: dict of `max_source_length` and `max_target_length`.
        searches: The searches of the files that are compared, each a dict of `num_beams` and
            `length_penalty`. Beam searches must have the same options. Default: greedy search.

    Attributes:
        sources: The sources that are not blank, the longest first.
        references: Their references.
        source: Padded ids of the sources, int32 `(n, source_length)`.
        lengths: Length of each row of `source`.
        tokens: Tokens from greedy search, int32 `(n, max_target_length)`.
        token_lengths: Number of tokens in each row of `tokens`.
        texts: dict of number of beams to the outputs of the search.
        logits: Teacher-forced logits of the first sentences.
    """

    def __init__(self, model, tokenizers: Tokenizers, pairs, limits: dict, searches=(GREEDY,)):
        self.tokenizers = tokenizers
        search = max(searches, key=lambda search: search["num_beams"])
        self.runner = keras_runner(model, tokenizers, limits, search)
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
        found = {1: (self.tokens, self.token_lengths)}
        if (num_beams := search["num_beams"]) > 1:
            run = best_search(self.runner.engine, num_beams)
            found[num_beams] = search_all(run, self.source, self.lengths, self.max_length)
        self.texts = {beams: decode(tokenizers.target, *each) for beams, each in found.items()}
        tokens, token_lengths = self.runner.engine.greedy(
            self.source[:NUM_TEACHER_FORCED], min(self.max_length, MAX_STEPS)
        )
        start = np.full((len(tokens), 1), model.start_id, np.int32)
        self.teacher = np.concatenate([start, tokens], axis=1)
        self.teacher_lengths = token_lengths
        # Without the step after the last token: the cache of a static file has no slot for it.
        num_steps = np.minimum(token_lengths + 1, self.max_length)
        self.steps = np.arange(self.teacher.shape[1]) < num_steps[:, None]
        inputs = {"source": self.source[:NUM_TEACHER_FORCED], "target": self.teacher}
        self.logits = model(inputs, training=False).numpy()

    def inputs(self, search=GREEDY):
        """Return the arguments of `probe` for a file with a search."""
        names = "source", "lengths", "max_length", "teacher", "padding"
        return {**{name: getattr(self, name) for name in names}, **self.ids, "search": search}

    def compare(self, outputs: dict, search=GREEDY) -> Parity:
        """Compare the outputs of a file, as `probe` returns them, with those of Keras."""
        expected = self.texts[search["num_beams"]]
        texts = decode(self.tokenizers.target, outputs["tokens"], outputs["token_lengths"])
        error = np.abs(outputs["logits"] - self.logits).max(axis=-1)
        # NaN counts as the largest error; as a number it would compare as none.
        error = np.where(self.steps, np.where(np.isnan(error), np.inf, error), 0)
        agree = outputs["logits"].argmax(-1) == self.logits.argmax(-1)
        agreements = outputs["agreements"]
        if agreements is None:
            agreements = self._greedy_agreements(outputs, (agree | ~self.steps).all(axis=-1))
        differing = [
            example
            for example in zip(self.sources, expected, texts, strict=True)
            if example[1] != example[2]
        ]
        sentence, step = np.unravel_index(error.argmax(), error.shape)
        largest = np.abs(self.logits[self.steps]).max()
        return Parity(
            max_logit_error=float(error.max()),
            relative_logit_error=float(error.max() / largest),
            token_agreement=float(agree[self.steps].mean()),
            search_agreement=float(agreements.mean()) if len(agreements) else None,
            same_outputs=1 - len(differing) / len(texts),
            **self._scores(expected, texts),
            num_sentences=len(texts),
            num_steps=int(self.steps.sum()),
            worst_source=self.sources[sentence],
            worst_step=int(step),
            example=differing[0] if differing else None,
        )

    def _greedy_agreements(self, outputs, are_compared):
        """Whether a file generates the teacher's tokens, for each compared row of the teacher."""
        width, agreements = self.teacher.shape[1] - 1, []
        for row in np.flatnonzero(are_compared):
            length = min(outputs["token_lengths"][row], width)
            expected = self.teacher[row, 1 : 1 + self.teacher_lengths[row]]
            agreements.append(np.array_equal(outputs["tokens"][row, :length], expected))
        return np.array(agreements, bool)

    def _scores(self, expected, texts):
        """BLEU and chrF of Keras and of the file against the references, and their signatures."""
        scores = {}
        for name, metric in (("bleu", sacrebleu.BLEU()), ("chrf", sacrebleu.CHRF())):
            for who, outputs in (("keras", expected), ("file", texts)):
                score = metric.corpus_score(outputs, [list(self.references)]).score
                scores[f"{who}_{name}"] = score
            scores[f"{name}_signature"] = metric.get_signature().format()
        return scores


def keras_runner(model, tokenizers: Tokenizers, limits: dict, search=GREEDY) -> Runner:
    """Return a `Runner` over a Keras model whose search is that of a bundle."""
    return TextSettings(tokenizers, **limits, **search).runner(model)
