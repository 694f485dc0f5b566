"""The Keras model's answers."""

from dataclasses import dataclass

import numpy as np
import sacrebleu
import tensorflow as tf

from seq2lite.zoo.search.greedy import greedy_search

from ..runtime.batching import pad
from ..runtime.runner import Runner
from .probe import search_all

NUM_TEACHER_FORCED = 16  # sentences whose logits are compared, the longest first


MAX_STEPS = 48  # of each


@dataclass(frozen=True)
class Parity:
    """What the gate measured.

    Attributes:
        max_logit_error: Greatest |file - Keras| of any logit.
        relative_logit_error: The same, as a part of the greatest |logit|.
        token_agreement: Part of steps that choose the same token after the same tokens.
        generate_agreement: Of the compared sentences whose every step does, the part that `generate`
            gives as Keras does; 1 if there is none.
        same_outputs: Part of all sentences with equal output.
        keras_chrf: Corpus chrF of Keras's outputs against the references.
        file_chrf: Corpus chrF of the file's outputs.
        chrf_signature: SacreBLEU's, which says how it was computed.
        keras_bleu: Corpus BLEU of Keras's outputs against the references.
        file_bleu: Corpus BLEU of the file's outputs.
        bleu_signature: SacreBLEU's.
        num_sentences: Sentences that were generated.
        num_steps: Steps whose logits were compared.
        worst: The sentence and step of the greatest logit error.
        first_difference: The first sentence with another output than Keras's, and both outputs.
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
    """Keras's answers on held-out text, for files to be compared with.

    Args:
        model: A `zoo.Seq2Seq`.
        tokenizer: Its `Tokenizer`.
        pairs: List of (source, reference) that the model was not trained on.
        limits: dict of `max_source_length` and `max_target_length`.

    Attributes:
        sources: The sources that are not blank, the longest first.
        references: Their references.
        texts: What Keras makes of them, by greedy search.
    """

    def __init__(self, model, tokenizer, pairs, limits):
        self.runner = keras_runner(model, tokenizer, limits)
        self.max_length = limits["max_target_length"]
        self.ids = {name: getattr(tokenizer, name) for name in ("pad_id", "start_id", "end_id")}
        ids = self.runner.source_ids([source for source, _ in pairs])
        pairs, ids = zip(*((p, i) for p, i in zip(pairs, ids, strict=True) if i), strict=True)
        # The longest first: they are compared step by step.
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        self.sources, self.references = zip(*(pairs[i] for i in order), strict=True)
        self.lengths = np.array([len(ids[i]) for i in order])
        self.source = pad([ids[i] for i in order], tokenizer.pad_id)
        self.tokens, self.token_lengths = search_all(
            self.runner.generate_ids, self.source, self.lengths, self.max_length
        )
        self.texts = self._texts(self.tokens, self.token_lengths)
        tokens, token_lengths = self.runner.generate_ids(
            self.source[:NUM_TEACHER_FORCED], min(self.max_length, MAX_STEPS)
        )
        start = np.full((len(tokens), 1), tokenizer.start_id, np.int32)
        self.teacher = np.concatenate([start, tokens], axis=1)
        self.steps = np.arange(self.teacher.shape[1]) <= token_lengths[:, None]
        inputs = {"source": self.source[:NUM_TEACHER_FORCED], "target": self.teacher}
        self.logits = model(inputs, training=False).numpy()

    def save_inputs(self, path):
        """Writes what `.probe` reads."""
        np.savez(
            path,
            source=self.source,
            lengths=self.lengths,
            max_length=self.max_length,
            teacher=self.teacher,
            **self.ids,
        )

    def compare(self, answers):
        """`Parity` of the file that gave `answers` (see `probe`)."""
        texts = self._texts(answers["tokens"], answers["token_lengths"])
        error = np.abs(answers["logits"] - self.logits).max(axis=-1)
        # A NaN is the greatest error of all, and compares as none.
        error = np.where(self.steps, np.where(np.isnan(error), np.inf, error), 0)
        agree = answers["logits"].argmax(-1) == self.logits.argmax(-1)
        # Where all steps agree, generate has no reason to differ.
        agreeing = (agree | ~self.steps).all(axis=-1)
        width = self.teacher.shape[1] - 1
        same = (answers["tokens"][: len(agreeing), :width] == self.teacher[:, 1:]).all(axis=-1)
        differing = [
            f"{source!r:.80}: Keras gives {expected!r:.80}, the file {found!r:.80}"
            for source, expected, found in zip(self.sources, self.texts, texts, strict=True)
            if found != expected
        ]
        sentence, step = np.unravel_index(error.argmax(), error.shape)
        greatest = np.abs(self.logits[self.steps]).max()
        return Parity(
            max_logit_error=float(error.max()),
            relative_logit_error=float(error.max() / greatest),
            token_agreement=float(agree[self.steps].mean()),
            generate_agreement=float(same[agreeing].mean()) if agreeing.any() else 1.0,
            same_outputs=float(np.mean([a == b for a, b in zip(texts, self.texts, strict=True)])),
            **self._scores(texts),
            num_sentences=len(texts),
            num_steps=int(self.steps.sum()),
            worst=f"step {step} of {self.sources[sentence]!r:.80}",
            first_difference=differing[0] if differing else "none",
        )

    def _texts(self, tokens, lengths):
        rows = [row[:n] for row, n in zip(tokens, lengths, strict=True)]
        return self.runner.tokenizer.decode(rows)

    def _scores(self, texts):
        """BLEU and chrF of Keras's texts and of the file's, against the references."""
        scores = {}
        for name, metric in (("bleu", sacrebleu.BLEU()), ("chrf", sacrebleu.CHRF())):
            for who, outputs in (("keras", self.texts), ("file", texts)):
                score = metric.corpus_score(outputs, [list(self.references)]).score
                scores[f"{who}_{name}"] = score
            scores[f"{name}_signature"] = metric.get_signature().format()
        return scores


def keras_runner(model, tokenizer, limits):
    """A `Runner` over Keras: greedy search in a tf.function."""

    @tf.function(
        input_signature=[tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((), tf.int32)]
    )
    def search(source, max_length):
        return greedy_search(model, source, max_length)

    def generate_ids(source, max_length):
        return tuple(result.numpy() for result in search(source, max_length))

    return Runner(limits, tokenizer, generate_ids)
