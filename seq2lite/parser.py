"""Parser of command lines."""

import argparse
import difflib
import re
import sys


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, which names the nearest flag of a misspelled one.

    Its description keeps its lines, and flags cannot be abbreviated.

    Args:
        command: The command as it is typed, such as `seq2lite run`.
        description: Text of --help.
        hint: Advice about unrecognized arguments that resemble no flag.
    """

    def __init__(self, command: str, description: str | None, hint: str = ""):
        super().__init__(
            prog=command,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.hint = hint

    def parse_known_args(self, args=None, namespace=None):
        # A misspelled flag is named before an argument that is missing because of it.
        args = sys.argv[1:] if args is None else list(args)
        for argument in args[: args.index("--")] if "--" in args else args:
            is_flag = re.fullmatch(r"(--[a-z][\w-]*)(=\S*)?", argument)
            if is_flag and is_flag[1] not in self._flags():
                self.error(f"unrecognized arguments: {argument}")
        return super().parse_known_args(args, namespace)

    def _flags(self):
        return ["--help", *re.findall(r"--[a-z][a-z-]*", self.format_usage())]

    def error(self, message):
        close, advice = [], ""
        if unknown := re.search(r"unrecognized arguments: (-[\w-]+)", message):
            close = difflib.get_close_matches(unknown[1], self._flags(), n=1)
            advice = f"{self.hint}. " if self.hint else ""
        elif wrong := re.search(r"invalid choice: '?([^' ]+)'? \(choose from (.*)\)", message):
            close = difflib.get_close_matches(wrong[1], re.findall(r"[\w.-]+", wrong[2]), n=1)
        if close:
            advice = f"Did you mean {close[0]}? "
        self.exit(2, f"error: {message}. {advice}`{self.prog} --help` lists all flags\n")
