"""What outputs are worth, beside their references: the field's own measures, by its own packages."""

import re
import unicodedata

import sacrebleu
from rapidfuzz.distance import Levenshtein
from rouge_score import rouge_scorer


def translation_scores(outputs, references):
    """BLEU and chrF by sacreBLEU.

    Args:
        outputs: List of str.
        references: List of str, one each.

    Returns:
        dict of `"BLEU"` (13a, case counts) and `"chrF"`, both from 0 to 100.

    Example:
        >>> from seq2lite.recipes.evaluation.metrics import translation_scores
        >>> translation_scores(["the cat sat on the mat"], ["the cat sat on the mat"])["chrF"]
        100.0
    """
    return {
        name: metric.corpus_score(outputs, [list(references)]).score
        for name, metric in _TRANSLATION.items()
    }


def rouge_scores(outputs, references):
    """F-measures of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), by rouge-score.

    Words are runs of letters and digits in lower case, of any script: in English those that rouge-score
    finds by itself, which reads a to z alone. Each character of Chinese and Japanese is a word. No
    stemming.

    Args:
        outputs: List of str.
        references: List of str, one each.

    Returns:
        dict of `"ROUGE-1"`, `"ROUGE-2"` and `"ROUGE-L"`, means over the texts, from 0 to 100.

    Example:
        >>> from seq2lite.recipes.evaluation.metrics import rouge_scores
        >>> round(rouge_scores(["a cat sat"], ["the cat sat"])["ROUGE-L"], 1)
        66.7
    """
    scored = [_ROUGE.score(r, o) for o, r in zip(outputs, references, strict=True)]
    return {
        f"ROUGE-{kind}": 100 * sum(score[f"rouge{kind}"].fmeasure for score in scored) / len(scored)
        for kind in ("1", "2", "L")
    }


def exact_match(outputs, references):
    """Part of outputs that equal their reference, but for case and spaces, from 0 to 100.

    Example:
        >>> from seq2lite.recipes.evaluation.metrics import exact_match
        >>> exact_match(["Who?", "Why?"], ["who?", "When?"])
        50.0
    """
    same = [_plain(o) == _plain(r) for o, r in zip(outputs, references, strict=True)]
    return 100 * sum(same) / len(same)


def question_scores(outputs, references):
    """BLEU, chrF, ROUGE and exact matches.

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


def error_rates(outputs, references):
    """Error rates of phones and of whole words, beside the nearest of several references.

    Args:
        outputs: List of str, phones with spaces between them.
        references: List of lists of str: all pronunciations that a word may have.

    Returns:
        dict of `"WER"`, the part of words that are none of their references, and `"PER"`, the least
        number of phones to insert, delete or replace, as a part of the reference's phones; in percent.
        Where phones have a stress, as CMUdict's AE1, also `"WER, no stress"` and `"PER, no stress"`, of
        phones alone, as most papers have it.

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
    for output, allowed in zip(outputs, references, strict=True):
        distances = [(Levenshtein.distance(output.split(), r.split()), r) for r in allowed]
        distance, nearest = min(distances, key=lambda pair: pair[0])
        wrong += distance > 0
        edits += distance
        phones += len(nearest.split())
    return {"WER": 100 * wrong / len(outputs), "PER": 100 * edits / phones}


def signatures():
    """How BLEU and chrF were computed, in sacreBLEU's words, for whoever compares."""
    return {name: metric.get_signature().format() for name, metric in _TRANSLATION.items()}


def _plain(text):
    return " ".join(text.lower().split())


class _Words:
    """A tokenizer as rouge-score takes it."""

    def tokenize(self, text):
        # Vowel signs (category M) are parts of words in Indic and other scripts.
        kept = (c if unicodedata.category(c)[0] in "LMN" else " " for c in text.lower())
        return re.findall(rf"[{_CJK}]|[^\s{_CJK}]+", "".join(kept))


_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"


_STRESS = re.compile(r"(?<=[A-Z])[0-2](?= |$)")


_TRANSLATION = {"BLEU": sacrebleu.BLEU(), "chrF": sacrebleu.CHRF()}


_ROUGE = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_Words())
