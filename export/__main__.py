"""The command line `python -m seq2lite.export`, with the commands `run` and `check`."""

import argparse
import os
import sys
import warnings

from .runtime.checks import quote
from .runtime.golden import check_golden
from .runtime.runner import load


def main(arguments=None):
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m seq2lite.export")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="generate a target for each text",
        description="Generates a target for each text and prints one per line. Without texts, reads "
        "standard input line by line.",
    )
    run.add_argument("bundle", help="folder or zip")
    run.add_argument("text", nargs="*", help="source texts; default: lines of standard input")
    run.add_argument(
        "--threads", type=int, default=1, help="threads of the interpreter (default: 1)"
    )
    run.add_argument(
        "--max-length", type=int, default=None, help="maximum number of tokens of a target"
    )
    run.add_argument(
        "--beams",
        action="store_true",
        help="use beam search and print all its targets, the best first, as tab-separated lines: "
        "number of the text, target, score",
    )
    check = commands.add_parser("check", help="compare the outputs on this device with golden.json")
    check.add_argument("bundle", help="folder or zip")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["run"]:  # texts may stand before, between and after the options
        options = run.parse_intermixed_args(arguments[1:], argparse.Namespace(command="run"))
    else:
        options = parser.parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(
            f"warning: {message}", file=sys.stderr
        )
        try:
            if options.command == "check":
                print(check_golden(options.bundle))
            else:
                _run(options)
        except BrokenPipeError:
            # The reader has closed the pipe, for example `head`; that is not an error.
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
        # Line by line, so that each target is printed as soon as it is generated.
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
    """Print tab-separated columns as one line; line breaks and tabs within them become spaces."""
    if len(columns) > 1:
        columns = [column.replace("\t", " ") for column in columns]
    print(*(" ".join(column.splitlines()) for column in columns), sep="\t", flush=True)


def _decode(line, number):
    try:
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"standard input, line {number}: must be UTF-8. Received: {quote(line)}"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
