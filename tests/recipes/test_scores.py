"""Metrics, against values computed by hand or printed in papers."""

import pytest
from rouge_score import rouge_scorer

from seq2lite.recipes.evaluation.metrics import (
    error_rates,
    exact_match,
    rouge_scores,
    translation_scores,
)


def test_rouge_is_the_mean_f_measure():
    # "police killed the gunman" and "police kill the gunman": Lin 2004, section 3.1.
    found = rouge_scores(["police kill the gunman", "x y"], ["police killed the gunman", "a b c"])
    assert found == pytest.approx({"ROUGE-1": 75 / 2, "ROUGE-2": 100 / 3 / 2, "ROUGE-L": 75 / 2})


def test_rouge_reads_every_script_and_english_as_rouge_score_does():
    korean, english = "파일을 지웠습니다", "It's the FILE_name of v2.0, isn't it?"
    assert rouge_scores([korean], [korean])["ROUGE-L"] == 100
    other = "it's a file name; v2"
    plain = rouge_scorer.RougeScorer(["rougeL"]).score(english, other)["rougeL"].fmeasure
    assert 0 < plain < 1
    assert rouge_scores([other], [english])["ROUGE-L"] == pytest.approx(100 * plain)


def test_the_words_of_rouge_are_those_of_the_script():
    # A vowel sign is a part of a word: "Hindi", and another word that has other signs.
    assert rouge_scores(["हिन्दी"], ["हिन्दी"])["ROUGE-1"] == 100
    assert rouge_scores(["हिन्दी"], ["हन्द"])["ROUGE-1"] == 0
    # No spaces: two of three characters; in Korean, with spaces, no word.
    assert rouge_scores(["新文件"], ["新文本"])["ROUGE-1"] == pytest.approx(200 / 3)
    assert rouge_scores(["새파일"], ["새문서"])["ROUGE-1"] == 0


def test_bleu_and_chrf_are_sacrebleus():
    outputs, references = ["a b c d e f", "열기"], ["a b c d e g", "열기"]
    found = translation_scores(outputs, references)
    precisions = [6 / 7, 4 / 5, 3 / 4, 2 / 3]  # of words of both, by length
    product = 1.0
    for precision in precisions:
        product *= precision
    assert found["BLEU"] == pytest.approx(100 * product**0.25)
    assert translation_scores(references, references)["chrF"] == pytest.approx(100)


def test_a_word_is_wrong_if_it_is_none_of_its_pronunciations():
    outputs = ["K AE1 T", "D AO1 G", "B IY1"]
    references = [["K AE1 T"], ["D AA1 G", "D AO1 G"], ["B IY1 N", "B IH1 N Z"]]
    found = error_rates(outputs, references)
    assert found["WER"] == pytest.approx(100 / 3)
    assert found["PER"] == pytest.approx(100 * 1 / (3 + 3 + 3))
    outputs = ["K AE0 T", *outputs[1:]]
    found = error_rates(outputs, references)
    assert found["WER"] == pytest.approx(200 / 3)
    assert found["WER, no stress"] == pytest.approx(100 / 3)
    assert found["PER, no stress"] == pytest.approx(100 * 1 / (3 + 3 + 3))
    assert error_rates(["a b"], [["a c"]]) == {"WER": 100, "PER": 50}


def test_case_and_spaces_do_not_make_a_question_another():
    assert exact_match(["Who  is it?", "What?"], ["who is it?", "what"]) == 50
