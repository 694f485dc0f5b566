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
    search = {
        name: getattr(options, name) for name in ("max_length", "num_beams", "length_penalty")
    }
    if options.n_best is not None and options.num_beams is None:
        search["num_beams"] = max(options.n_best, runner.search["num_beams"])
    groups = [options.text] if options.text else read_groups(sys.stdin.buffer)
    numbers = itertools.count(1)
    for texts in groups:
        if options.stream:
            for text in texts:
                for part in runner.stream(text, options.max_length):
                    # Line breaks become spaces.
                    part = "".join(" " if c.splitlines() == [""] else c for c in part)
                    print(part, end="", flush=True)
                print(flush=True)
            continue
        if options.n_best is None:
            for target in runner.generate(texts, split=options.split, **search):
                _print(target)
        else:
            for targets in runner.generate_beam(texts, **search):
                number = next(numbers)
                for target, score in targets[: options.n_best]:
                    _print(f"{number}", target, f"{score:.4f}")
        sys.stdout.flush()


def _parser():
    parser = Parser("seq2lite run", __doc__)
    add = parser.add_argument
    add("bundle", help="folder or zip")
    add("text", nargs="*", help="source texts; default: lines of standard input")
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


def _print(*columns):
    """Print tab-separated columns as one line; line breaks and tabs within them become spaces."""
    if len(columns) > 1:
        columns = [column.replace("\t", " ") for column in columns]
    print(*(" ".join(column.splitlines()) for column in columns), sep="\t")
