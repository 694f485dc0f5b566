"""Fetches a data set: public packages, opened, cleaned, split without leaks.

    python -m seq2lite.recipes.fetch list
    python -m seq2lite.recipes.fetch en-ko --output data/en-ko

A set is its splits (`train.tsv.gz`, `valid.tsv.gz`, `test*.tsv.gz`: source, tab, target, tab,
origin), `LICENCES.md`, `README.md` and `SHA256SUMS`. What was downloaded stays in the cache: the
same command goes on from there. More: docs/data.md.
"""

import argparse
import re
import sys
import time

from rich.console import Console
from rich.table import Table

from ..fetch import debconf, debian, descriptions, g2p, registry, translations
from .building import check_output, verify, write
from .download import Cache, FetchError, default_cache

# Name of a set → its module, and what is downloaded. Any other name is a pair of languages.
SETS = {"g2p": g2p, "summarize": descriptions, "debconf": debconf}
DOWNLOADS = {"g2p": "1 MB", "summarize": "15 MB", "debconf": "70 MB", "en-XX": "220 MB"}
_PAIR = re.compile(r"(en-[a-z]{2,3}(_[A-Z]{2})?|[a-z]{2,3}(_[A-Z]{2})?-en)")


def main(arguments=None):
    """The command line."""
    options = _options(arguments)
    try:
        _list() if options.name == "list" else fetch(options)
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from what was downloaded", file=sys.stderr)
        sys.exit(130)


def fetch(options):
    """Fetches the set of `options.name`; options as on the command line."""
    module = SETS.get(options.name)
    if module is None and not (_PAIR.fullmatch(options.name) and options.name != "en-en"):
        raise FetchError(
            f"`name` must be of list, {', '.join(SETS)}, or a pair of languages with English such "
            f"as en-ko. Received: {options.name}"
        )
    output = options.output or f"data/{options.name}"
    if check_output(output, options.overwrite, options.name):
        wrong = verify(output)
        if wrong:
            raise FetchError(
                f"{output} must be as its SHA256SUMS says. Differing: {', '.join(wrong)}; "
                "--overwrite builds it anew"
            )
        print(f"{output} is there, and is as its SHA256SUMS says; --overwrite builds it anew")
        return
    begun = time.perf_counter()
    cache = Cache(options.cache, options.offline)
    built = (module or translations).build(cache, options)
    sentence = write(
        options.name, built, output, cache.used, allow_other=options.allow_other_checksums
    )
    counts = ", ".join(f"{len(rows):,} {name}" for name, rows in built.rows.items())
    print(f"{output}: {counts}; {time.perf_counter() - begun:.0f} s")
    print(f"{sentence[0].upper()}{sentence[1:]}. Licences of its parts: {output}/LICENCES.md")


def _list():
    table = Table("set", "what", "download")
    for name, module in SETS.items():
        table.add_row(name, module.TITLE, DOWNLOADS[name])
    pair = translations.TITLE.format(source="English", target="any language XX of Debian, or back")
    table.add_row("en-XX, XX-en", pair, DOWNLOADS["en-XX"])
    Console().print(table)


def _options(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m seq2lite.recipes.fetch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", help=f"list, {', '.join(SETS)}, or a pair such as en-ko or de-en")
    parser.add_argument("--output", help="folder to make (default: data/NAME)")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a set that was fetched there before"
    )
    parser.add_argument("--cache", help=f"folder of downloads (default: {default_cache()})")
    parser.add_argument("--offline", action="store_true", help="use the cache alone")
    parser.add_argument(
        "--mirror", default=debian.MIRROR, help="Debian mirror (default: %(default)s)"
    )
    parser.add_argument(
        "--pypi",
        default=registry.default_index(),
        help="package index of PyPI's form (default: $PIP_INDEX_URL, or PyPI)",
    )
    parser.add_argument(
        "--allow-other-checksums",
        action="store_true",
        help="write what was built even where the known checksums are others",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
