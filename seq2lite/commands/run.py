"""Generate a target for each text, with a bundle.

seq2lite run runs/mine/int8 "Open File" "Close"
seq2lite run runs/mine/int8 < texts.txt > targets.txt

Prints one line for each text, in the same order. Without texts, reads standard input, one text per
line.
"""

import itertools
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from seq2lite.export.runtime.checks import quote, require, require_positive
from seq2lite.export.runtime.load import load
from seq2lite.parser import Parser

CONSTRAINTS = (
    "min_length",
    "no_repeat_ngram",
    "repetition_penalty",
    "banned_tokens",
)  # of `Runner.generate`


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    options = _parser().parse_intermixed_args(arguments)
    if options.n_best is not None:
        require_positive(n_best=options.n_best)
        require(not options.split, "given without --n-best", split=True)
    if options.stream:
        is_valid = options.n_best is None and not options.split and options.num_beams in (None, 1)
        require(is_valid, "given without --n-best, --split and --num-beams", stream=True)
    runner = load(options.bundle, num_threads=options.threads)
    _check_search(options, runner.search)
    groups = [options.text] if options.text else read_groups(sys.stdin.buffer)
    for line in _answers(runner, groups, options):
        print(line, end="", flush=options.stream)


def _check_search(options, search):
    """Raise ValueError if the search cannot follow the options of beam search."""
    n_best = options.n_best or 1
    num_beams = 1 if options.stream else options.num_beams or max(n_best, search["num_beams"])
    require(n_best <= max(num_beams, 1), f"at most num_beams={num_beams}", n_best=n_best)
    is_valid = options.length_penalty is None or num_beams != 1
    expected = "given with --num-beams 2 or more, and without --stream"
    require(is_valid, expected, length_penalty=options.length_penalty)


def _answers(runner, groups, options):
    """Yield the output, in parts; `sys.stdout` is flushed after each group."""
    names = ("max_length", "prefix", *CONSTRAINTS)
    control = {n: value for n in names if (value := getattr(options, n)) is not None}
    search = {name: getattr(options, name) for name in ("num_beams", "length_penalty")}
    if options.n_best is not None and options.num_beams is None:
        search["num_beams"] = max(options.n_best, runner.search["num_beams"])
    numbers = itertools.count(1)
    for texts in groups:
        if options.stream:
            for text in texts:
                yield from map(_without_line_breaks, runner.stream(text, **control))
                yield "\n"
        elif options.n_best is None:
            for target in runner.generate(texts, split=options.split, **search, **control):
                yield f"{_without_line_breaks(target)}\n"
        else:
            for targets in runner.generate_beam(texts, **search, **control):
                number = next(numbers)
                for target, score in targets[: options.n_best]:
                    column = _without_line_breaks(target).replace("\t", " ")
                    yield f"{number}\t{column}\t{score:.4f}\n"
        sys.stdout.flush()


def _without_line_breaks(text):
    """Replace each line break by a space, so that a target is one line."""
    return "".join(" " if c.splitlines() == [""] else c for c in text)


def _parser():
    parser = Parser("seq2lite run", __doc__, "Write `--` before texts that begin with a hyphen")
    add = parser.add_argument
    add("bundle", help="folder or zip")
    add("text", nargs="*", default=[], help="source texts; default: lines of standard input")
    add("--threads", type=int, default=1, help="threads of the interpreter (default: 1)")
    add("--max-length", type=int, help="maximum number of tokens of a target")
    add("--num-beams", type=int, help="beam size; 1 is greedy search (default: that of the bundle)")
    add(
        "--length-penalty", type=float, help="length penalty of beam search (default: the bundle's)"
    )
    add(
        "--n-best",
        type=int,
        metavar="N",
        help="print the N best targets of each text, as tab-separated lines: number of the text, "
        "target, score",
    )
    add("--prefix", help="text that every target begins with")
    add("--min-length", type=int, help="minimum number of tokens of a target")
    add("--no-repeat-ngram", type=int, metavar="N", help="no N tokens occur twice in a target")
    add("--repetition-penalty", type=float, help="penalty of tokens that occur again, such as 1.2")
    add(
        "--banned-tokens",
        type=ids,
        metavar="IDS",
        help="ids that are never generated, such as 17,52",
    )
    add(
        "--stream",
        action="store_true",
        help="print each target while greedy search generates it",
    )
    add(
        "--split",
        action="store_true",
        help="split each text into sentences and join their targets (needs the extra `split`)",
    )
    return parser


def ids(text: str) -> list[int]:
    """Return the ids of a list with commas, such as `17,52`."""
    return [int(part) for part in text.split(",")]


def read_groups(file: BinaryIO, size: int = 1 << 16) -> Iterator[list[str]]:
    """Yield the lines of a file in groups: those that are there when the next group is wanted.

    A file or a fast pipe gives groups of many lines, which are computed in batches. A terminal gives
    groups of one line, so each line is answered before the next one is typed.

    Args:
        file: Binary file.
        size: Maximum number of bytes of a group, unless a line is longer.

    Raises:
        ValueError: A line is not UTF-8. The lines before it have been yielded.
    """
    number, rest = 0, b""
    while chunk := file.read1(size):  # type: ignore[attr-defined]
        *lines, rest = (rest + chunk).split(b"\n")
        yield from _decoded(lines, number)
        number += len(lines)
    if rest:
        yield from _decoded([rest], number)


def _decoded(lines, number):
    """Yield a group of lines as text; `number` lines stand before them."""
    texts, problem = [], None
    for line in lines:
        try:
            texts.append(line.decode().removesuffix("\r"))
        except UnicodeDecodeError as error:
            place = f"standard input, line {number + len(texts) + 1}"
            problem = ValueError(f"{place}: must be UTF-8. Received: {quote(line)}"), error
            break
    if texts:
        yield texts
    if problem:
        raise problem[0] from problem[1]
