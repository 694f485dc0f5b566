"""Parser of command lines."""

import argparse
import difflib
import re


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, which names the nearest flag of a misspelled one.

    Its description keeps its lines, and flags cannot be abbreviated.

    Args:
        command: The command as it is typed, such as `seq2lite run`.
        description: Text of --help.
    """

    def __init__(self, command: str, description: str | None):
        super().__init__(
            prog=command,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message):
        flags = re.findall(r"--[a-z][a-z-]*", self.format_usage())
        unknown = re.search(r"unrecognized arguments: (--[\w-]+)", message)
        close = difflib.get_close_matches(unknown[1], flags, n=1) if unknown else []
        advice = f"Did you mean {close[0]}? " if close else ""
        self.exit(2, f"error: {message}. {advice}`{self.prog} --help` lists all flags\n")
