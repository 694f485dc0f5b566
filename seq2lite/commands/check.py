"""Compare the outputs of a bundle on this device with those stored in its golden.json."""

import argparse
from collections.abc import Sequence

from seq2lite.export.runtime.golden import check_golden


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="seq2lite check", description=__doc__)
    parser.add_argument("bundle", help="folder or zip")
    print(check_golden(parser.parse_args(arguments).bundle))
