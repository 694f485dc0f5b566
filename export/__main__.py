"""`python -m seq2lite.export run BUNDLE [TEXT ...] [OPTIONS]` and `... check BUNDLE`."""

import argparse
import os
import sys
import warnings

from .runtime.golden import check_golden
from .runtime.runner import load


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m seq2lite.export")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="generate a target for each text",
        description="Generates a target for each text, in a line of its own. Without texts: for each "
        "line of standard input, as it comes.",
    )
    run.add_argument("bundle", help="folder or zip")
    run.add_argument("text", nargs="*", help="default: the lines of standard input")
    run.add_argument("--threads", type=int, default=1)
    run.add_argument("--max-length", type=int, default=None, help="most tokens of a target")
    run.add_argument(
        "--beams",
        action="store_true",
        help="beam search: every target that it ends with, the best first, in a line of the text's "
        "number from 1, the target and its score, with tabs between",
    )
    check = commands.add_parser("check", help="compare this device's answers with golden.json")
    check.add_argument("bundle", help="folder or zip")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["run"]:  # texts before, between and after the options
        options = run.parse_intermixed_args(arguments[1:], argparse.Namespace(command="run"))
    else:
        options = parser.parse_args(arguments)
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        if options.command == "check":
            print(check_golden(options.bundle))
        else:
            _run(options)
    except BrokenPipeError:
        # Whoever read the answers has left: nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options):
    runner = load(options.bundle, num_threads=options.threads)
    if options.text:
        texts = [options.text]
    else:
        # Line by line, so that a pipe gets each answer as soon as it is there.
        texts = ([_decode(line, n)] for n, line in enumerate(sys.stdin.buffer, start=1))
    number = 0
    for group in texts:
        if not options.beams:
            for target in runner.generate(group, max_length=options.max_length):
                _print(target)
            continue
        for beams in runner.generate_beam(group, max_length=options.max_length):
            number += 1
            for target, score in beams:
                _print(f"{number}", target, f"{score:.4f}")


def _print(*columns):
    """A line an answer, whatever is in it."""
    if len(columns) > 1:
        columns = [column.replace("\t", " ") for column in columns]
    print(*(" ".join(column.splitlines()) for column in columns), sep="\t", flush=True)


def _decode(line, number):
    try:
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"standard input, line {number}: must be UTF-8. Received: {line[:40]!r}"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
