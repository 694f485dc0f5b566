"""The report of a run."""

from rich.console import Console

from seq2lite.recipes.run.report import score_table


def test_a_number_that_one_test_alone_has_is_in_the_table():
    """As the error rates without stress, where a test's phones have one."""
    scores = {
        "plain.tsv": {"Keras": {"WER": 12.5}},
        "stressed.tsv": {"Keras": {"WER": 25.0, "WER, no stress": 6.25}},
    }
    console = Console(width=100, record=True)
    console.print(score_table(scores))
    lines = [
        line.split("│")[1:-1] for line in console.export_text().splitlines() if "Keras" in line
    ]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["plain.tsv", "Keras", "12.50", ""],
        ["stressed.tsv", "Keras", "25.00", "6.25"],
    ]


def test_a_held_out_part_is_not_named_as_its_file_is():
    scores = {
        "held-out part of /my data/train[en].tsv": {"Keras": {"BLEU": 1.0, "perplexity": 1e90}}
    }
    console = Console(width=100, record=True)
    console.print(score_table(scores))
    table = console.export_text()
    assert "held-out part of train[en].tsv" in table and "1e+90" in table
