"""Fetch a data set: download public packages, extract and clean their text, split it without leaks.

    seq2lite fetch list
    seq2lite fetch en-ko --output data/en-ko

A data set has one table for each split (`train.tsv.gz`, `valid.tsv.gz`, `test*.tsv.gz`) with the
columns source, target and origin, and the files `LICENCES.md`, `README.md` and `SHA256SUMS`.
Downloads are cached: the same command resumes after an interruption. More: docs/reference/data.md.
"""

import argparse
import re
import sys
import time

try:
    from . import debconf, debian, descriptions, g2p, registry, translations
except ModuleNotFoundError as missing:
    if missing.name not in ("debian", "polib", "pooch"):
        raise
    sys.exit(
        f"error: fetching data sets needs {missing.name}, which is not installed; "
        "try: pip install 'seq2lite[fetch]'"
    )

from rich.console import Console
from rich.table import Table

from seq2lite.parser import Parser

from .dataset import check_output, verify, write
from .download import Cache, default_cache
from .errors import FetchError, UnreachableError

# Modules by the name of their data set. Any other name is a pair of languages.
SETS = {"g2p": g2p, "summarize": descriptions, "debconf": debconf}
RESUME = "Completed downloads are kept: run the same command again to resume"
_PAIR = re.compile(r"(en-[a-z]{2,3}(_[A-Z]{2})?|[a-z]{2,3}(_[A-Z]{2})?-en)")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: List of str. Default: those of the process.
    """
    options = _parser().parse_args(arguments)
    try:
        _print_list() if options.name == "list" else fetch(options)
    except FetchError as error:
        hint = f". {RESUME}" if isinstance(error, UnreachableError) else ""
        print(f"error: {error}{hint}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"interrupted. {RESUME}", file=sys.stderr)
        sys.exit(130)


def fetch(options: argparse.Namespace) -> None:
    """Fetch one data set.

    Args:
        options: Namespace of the command line's options.

    Raises:
        FetchError: The data set cannot be fetched, or the output folder cannot be used.
    """
    name = options.name
    module = SETS.get(name)
    if module is None and not (_PAIR.fullmatch(name) and name != "en-en"):
        raise FetchError(
            f"`name` must be list, {', '.join(SETS)}, or a pair of languages with English such as "
            f"en-ko. Received: {name}"
        )
    output = options.output or f"data/{name}"
    if check_output(output, options.overwrite, name):
        if differing := verify(output):
            raise FetchError(
                f"{output} must match its SHA256SUMS. Differing: {', '.join(differing)}; "
                "--overwrite builds it again"
            )
        print(f"{output} exists and matches its SHA256SUMS; --overwrite builds it again")
        return
    start = time.perf_counter()
    cache = Cache(options.cache, options.offline)
    data = (module or translations).build(cache, options)
    sentence = write(name, data, output, cache.requested, options.allow_other_checksums)
    counts = ", ".join(f"{len(rows):,} {split}" for split, rows in data.splits.items())
    print(f"{output}: {counts}; {time.perf_counter() - start:.0f} s")
    print(f"{sentence[0].upper()}{sentence[1:]}. Licenses: {output}/LICENCES.md")


def _print_list() -> None:
    table = Table("name", "content", "download")
    for name, module in SETS.items():
        table.add_row(name, module.TITLE, module.DOWNLOAD)
    title = translations.TITLE.format(
        source="English", target="any language XX of Debian, or the reverse"
    )
    table.add_row("en-XX, XX-en", title, translations.DOWNLOAD)
    Console().print(table)


def _parser() -> argparse.ArgumentParser:
    parser = Parser("seq2lite fetch", __doc__)
    add = parser.add_argument
    add("name", help=f"list, {', '.join(SETS)}, or a pair of languages such as en-ko or de-en")
    add("--output", help="folder to write (default: data/NAME)")
    add("--overwrite", action="store_true", help="replace an earlier version of the data set")
    add("--cache", help=f"folder of downloads (default: {default_cache()})")
    add("--offline", action="store_true", help="use only cached downloads")
    add("--mirror", default=debian.MIRROR, help="Debian mirror (default: %(default)s)")
    add(
        "--pypi",
        default=registry.default_index(),
        help="Python package index (default: $PIP_INDEX_URL, or PyPI)",
    )
    add(
        "--allow-other-checksums",
        action="store_true",
        help="write the data set even if its checksums differ from the known ones",
    )
    return parser


if __name__ == "__main__":
    main()
