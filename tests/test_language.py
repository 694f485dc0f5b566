"""Prose lint: terms that docstrings, comments, messages, names and pages must not contain.

    python tests/test_language.py            # all files of the repository
    python tests/test_language.py FILE ...   # some of them

The list is short: each entry is a phrase that this project used to misuse, and is almost always
wrong here. It is not a style checker.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PATTERNS = ("*.md", "*.py", "*.toml", "*.yml", "*.svg", "Makefile", ".ci/run")
DATA = ("recipes/data/files/", "docs/figures/gnmt", "docs/figures/rnn", "docs/figures/transformer")

# A regular expression to what to write in its place. `_` counts as a boundary of words, so that
# identifiers are checked too; case does not count.
TERMS = {
    "torn": "corrupted",
    "anew": "again",
    "rungs?|ladder": "quantization mode",
    "(hangs?|hung) on": "depends on",
    "whoever|nobody|anybody": "name the person or the program",
    "likelie(r|st)": "more probable, most probable",
    "(?<!at )least": "minimum, at least",
    "greatest|at the (most|least)": "largest, maximum, at most, at least",
    "most (tokens|steps|places|sentences) (of|to|that|for)": "maximum number of",
    "(a|the|each|every|best|first|last|next|num|of|per|earlier)[ _]rounds?(?![-_ ](trip|to|half))": "epoch, evaluation",
    "rounds? (of|that|there)|rounds? \\d": "epoch, evaluation",
    "ships|shipped": "exported, deployed",
    "passed over|left out": "ignored, dropped, omitted",
    "(go(es)?|went|gone|going)[ _]on (with|from|after|at)": "resume, continue",
    "way back": "detokenizer",
    "by heart|without a word|of like (length|size)s?|for want of|as ever|unasked": "plain words",
    "takes no|take no|(has|have) not[.,;:)]": "cannot, unsupported, without",
    "said|says|speaks?|speaking|heard|hears": "generate, state, read",
    "what it says|that which|what is said": "name the thing",
    "so many": "the number of, that many",
    "house|leaves? the house": "package layout, project",
    "whole or not at all|(read|write|written|save|copied)[ _]whole": "atomic, atomically",
    "but for": "except",
    "in the place of|all the same|of one's own": "instead of, anyway, own",
    "longest gradient": "maximum gradient norm",
    "beginnings that": "beam size",
    "(is|are) none(?! of)": "there is no, is not a",
    "litter|mends?|mended": "leftovers, fix",
}
CHECKS = [
    (re.compile(rf"(?<![A-Za-z])(?:{term})(?![A-Za-z])", re.IGNORECASE), advice)
    for term, advice in TERMS.items()
]
CODE = re.compile(r"\bis (not )?None\b|\bare None\b")
# The first word of a docstring: neither a clause as a noun nor a verb in the third person. Such a verb
# is in the list, or an article follows it. Nouns of the same form are followed by "of".
THIRD_PERSON = """
    Adds Allows Appends Applies Asks Attends Backtracks Becomes Begins Builds Calls Casts Changes Checks
    Chooses Collects Compares Computes Contains Converts Copies Creates Cuts Decides Decodes Deletes
    Describes Does Draws Drops Embeds Encodes Ends Evaluates Expects Finds Fits Gets Gives Handles Holds
    Interleaves Is Joins Keeps Learns Lets Loads Looks Makes Measures Merges Moves Opens Picks Predicts
    Prepares Prints Provides Puts Raises Reads Rejects Removes Renames Renders Replaces Represents Resets
    Restores Returns Reverses Rewrites Rotates Runs Saves Selects Sends Serves Shows Skips Sorts
    Splits Starts Stops Stores Takes Tells Trains Translates Tries Turns Updates Uses Verifies Waits
    Wraps Writes Yields
"""
OPENING = re.compile(
    rf"(What|Of|({'|'.join(THIRD_PERSON.split())})(?! of\b)|[A-Z][a-z]+s (an?|the|each|its|all))\b"
)


def files():
    """Names of the files of the repository that people read."""
    listed = subprocess.run(
        ["git", "ls-files", *PATTERNS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = (name for name in listed.stdout.split() if not name.startswith(DATA))
    return sorted(name for name in names if (ROOT / name).is_file() and name != _THIS)


_THIS = Path(__file__).relative_to(ROOT).as_posix()


def faults(name):
    """Yield `file:line: term → advice` for a file."""
    text = (ROOT / name).read_text("utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        line = CODE.sub("", line)
        for pattern, advice in CHECKS:
            if found := pattern.search(line):
                yield f"{name}:{number}: {found[0]!r} → {advice}"
    if name.endswith(".py"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                docstring = ast.get_docstring(node)
                if docstring and OPENING.match(docstring):
                    line = getattr(node, "lineno", 1)
                    yield f"{name}:{line}: a docstring starts with {docstring[:12]!r} → imperative or noun"


@pytest.mark.parametrize(
    ("docstring", "is_wrong"),
    [
        ("Ends a training after five evaluations.", True),
        ("Attends over all positions.", True),
        ("Verbs the list lacks.", True),
        ("What runs a bundle.", True),
        ("End a training.", False),
        ("Casts of ids.", False),
        ("Options of a model.", False),
    ],
)
def test_a_docstring_starts_with_an_imperative_or_a_noun(docstring, is_wrong):
    assert bool(OPENING.match(docstring)) == is_wrong


@pytest.mark.parametrize("name", files())
def test_the_wording_is_plain(name):
    found = list(faults(name))
    assert not found, "\n" + "\n".join(found)


def main(names):
    """Print the faults of files; return the exit status."""
    found = [
        fault
        for name in [Path(name).resolve().relative_to(ROOT).as_posix() for name in names] or files()
        if name in files()
        for fault in faults(name)
    ]
    print("\n".join(found) or "plain")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
