"""Flags made from a Config."""

import dataclasses

import pytest

from seq2lite.recipes.options import Configuration, option
from seq2lite.recipes.run.command_line import parse_config


@dataclasses.dataclass(frozen=True)
class Config(Configuration):
    """Options of every type that recipes use."""

    output: str = option("runs", "50% of a folder")
    batch_tokens: int = option(10, "tokens")
    dropout: float = option(0.1, "rate")
    overwrite: bool = option(False, "replace")
    languages: tuple[str, ...] = option(("en", "ko"), "tags")


def test_no_flags_give_the_defaults():
    assert parse_config("", Config, []) == Config()


def test_each_field_is_a_flag_of_its_type():
    flags = "--output x --batch-tokens 3 --dropout 0.5 --overwrite --languages de fr"
    expected = Config("x", 3, 0.5, True, ("de", "fr"))
    assert parse_config("", Config, flags.split()) == expected


@pytest.mark.parametrize("flags", [["--batch-tokens", "many"], ["--batch"], ["--colour", "red"]])
def test_a_wrong_flag_is_named(flags, capsys):
    with pytest.raises(SystemExit) as error:
        parse_config("", Config, flags)
    assert error.value.code == 2
    assert flags[0] in capsys.readouterr().err


def test_a_misspelled_flag_is_answered_with_the_nearest_one_in_one_line(capsys):
    with pytest.raises(SystemExit):
        parse_config("", Config, ["--drop-out", "0.2"])
    error = capsys.readouterr().err
    assert error.startswith("error: unrecognized arguments: --drop-out. Did you mean --dropout?")
    assert error.count("\n") == 1


def test_help_describes_each_flag(capsys):
    with pytest.raises(SystemExit):
        parse_config("What it does.", Config, ["--help"])
    text = capsys.readouterr().out
    assert "What it does." in text and "50% of a folder (default: runs)" in text
