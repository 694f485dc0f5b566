"""Metrics of the field, computed by its own packages: sacreBLEU, rouge-score, rapidfuzz."""

import functools
import re
import unicodedata
from collections.abc import Sequence

import sacrebleu
from rapidfuzz.distance import Levenshtein

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_STRESS = re.compile(r"(?<=[A-Z])[0-2](?= |$)")  # of CMUdict's vowels, such as AE1


def translation_scores(outputs: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Compute BLEU and chrF with sacreBLEU.

    Args:
        outputs: Generated texts.
        references: One reference for each output.

    Returns:
        `"BLEU"` (13a tokenization, case-sensitive) and `"chrF"`, both from 0 to 100.

    Example:
        >>> from seq2lite.recipes.evaluation.metrics import translation_scores
        >>> translation_scores(["the cat sat on the mat"], ["the cat sat on the mat"])["chrF"]
        100.0
    """
    return {
        name: metric.corpus_score(outputs, [list(references)]).score
        for name, metric in _TRANSLATION.items()
    }


def rouge_scores(outputs: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Compute F-measures of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004) with rouge-score.

    A word is a run of lower-cased letters and digits of any script, without stemming. For English
    these are the words of rouge-score's own tokenizer, which reads a to z only. Each character of
    Chinese and Japanese is a word.

    Args:
        outputs: Generated texts.
        references: One reference for each output.

    Returns:
        `"ROUGE-1"`, `"ROUGE-2"` and `"ROUGE-L"`: means over the texts, from 0 to 100.

    Example:
        >>> from seq2lite.recipes.evaluation.metrics import rouge_scores
        >>> round(rouge_scores(["a cat sat"], ["the cat sat"])["ROUGE-L"], 1)
        66.7
    """
    scored = [_rouge().score(r, o) for o, r in zip(outputs, references, strict=True)]
    return {
        f"ROUGE-{kind}": 100 * sum(score[f"rouge{kind}"].fmeasure for score in scored) / len(scored)
        for kind in ("1", "2", "L")
    }


def exact_match(outputs: Sequence[str], references: Sequence[str]) -> float:
    """Compute the percentage of outputs that equal their reference, apart from case and spaces.

    Example:
        >>> from seq2lite.recipes.evaluation.metrics import exact_match
        >>> exact_match(["Who?", "Why?"], ["who?", "When?"])
        50.0
    """

    def normalized(text):
        return " ".join(text.lower().split())

    equal = [normalized(o) == normalized(r) for o, r in zip(outputs, references, strict=True)]
    return 100 * sum(equal) / len(equal)


def question_scores(outputs: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Compute ROUGE, BLEU, chrF and the percentage of exact matches.

    Example:
        >>> from seq2lite.recipes.evaluation.metrics import question_scores
        >>> question_scores(["Who?"], ["who?"])["exact match"]
        100.0
    """
    return {
        **rouge_scores(outputs, references),
        **translation_scores(outputs, references),
        "exact match": exact_match(outputs, references),
    }


def error_rates(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Compute error rates of words and phones, against the closest of several references.

    Args:
        outputs: Generated pronunciations, with a space between phones.
        references: For each output, all correct pronunciations of the word.

    Returns:
        `"WER"`: percentage of outputs that equal none of their references. `"PER"`: inserted,
        deleted and replaced phones, as a percentage of the reference's phones. If phones have a
        stress, such as CMUdict's AE1, also `"WER, no stress"` and `"PER, no stress"`, which ignore
        it, as most papers do.

    Example:
        >>> from seq2lite.recipes.evaluation.metrics import error_rates
        >>> rates = error_rates(["K AE0 T", "D AO1 G"], [["K AE1 T"], ["D AA1 G", "D AO1 G Z"]])
        >>> {name: round(rate, 1) for name, rate in rates.items()}
        {'WER': 100.0, 'PER': 33.3, 'WER, no stress': 50.0, 'PER, no stress': 16.7}
    """
    rates = _error_rates(outputs, references)
    plain = [[_STRESS.sub("", text) for text in texts] for texts in (outputs, *references)]
    if plain[1:] != list(references):
        rates |= {f"{n}, no stress": v for n, v in _error_rates(plain[0], plain[1:]).items()}
    return rates


def _error_rates(outputs, references):
    wrong = edits = phones = 0
    for output, correct in zip(outputs, references, strict=True):
        distances = [(Levenshtein.distance(output.split(), r.split()), r) for r in correct]
        distance, closest = min(distances, key=lambda pair: pair[0])
        wrong += distance > 0
        edits += distance
        phones += len(closest.split())
    return {"WER": 100 * wrong / len(outputs), "PER": 100 * edits / phones}


def signatures() -> dict[str, str]:
    """Return sacreBLEU's signatures of BLEU and chrF, which state how they are computed.

    Example:
        >>> from seq2lite.recipes.evaluation.metrics import signatures
        >>> list(signatures())
        ['BLEU', 'chrF']
    """
    return {name: metric.get_signature().format() for name, metric in _TRANSLATION.items()}


class _WordTokenizer:
    """Split text into words of any script, with the interface that rouge-score expects."""

    def tokenize(self, text):
        # Category M: vowel signs are parts of words in Indic and other scripts.
        kept = (c if unicodedata.category(c)[0] in "LMN" else " " for c in text.lower())
        return re.findall(rf"[{_CJK}]|[^\s{_CJK}]+", "".join(kept))


_TRANSLATION = {"BLEU": sacrebleu.BLEU(), "chrF": sacrebleu.CHRF()}


@functools.cache
def _rouge():
    # Imported at first use: NLTK and SciPy, which it imports, take a second of every `--help`.
    from rouge_score import rouge_scorer

    return rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_WordTokenizer())
