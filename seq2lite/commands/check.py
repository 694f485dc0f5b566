"""Compare the outputs of a bundle on this device with those stored in its golden.json."""

from collections.abc import Sequence

from seq2lite.export.runtime.golden import check_golden
from seq2lite.parser import Parser


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    parser = Parser("seq2lite check", __doc__)
    parser.add_argument("bundle", help="folder or zip")
    print(check_golden(parser.parse_args(arguments).bundle))
