"""Mutation run: applies small faults to a copy of the project and checks that the tests catch them.

    make mutants                                              # all faults
    python benchmarks/mutants.py --only zoo-causal-mask export-checksum
    python benchmarks/mutants.py --results runs/after.jsonl --compare runs/before.jsonl
    python benchmarks/mutants.py --check                      # whether the list matches the code

`mutants.toml` lists the faults, each with the tests that should fail. The tests run without a fault
first. Then each fault is applied alone, and its tests run in a process of their own. Each result is
appended to a JSON-lines file at once: `--resume` continues a run that was stopped.

The exit status is 0 if every fault was caught.
"""

import argparse
import ast
import collections
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
FAULTS = Path(__file__).with_name("mutants.toml")
PACKAGES = ("zoo", "export", "recipes")
NOT_COPIED = (
    ".git",
    ".venv*",
    ".path",
    "runs",
    "build",
    "dist",
    "site",
    "*.egg-info",
    "__pycache__",
    ".*_cache",
)
CAUGHT, SURVIVED, TIMED_OUT, BROKEN = "caught", "survived", "timed out", "broken"
# Exit codes of pytest: all passed, some failed, stopped because a test file could not be imported.
PASSED, FAILED, INTERRUPTED = 0, 1, 2


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="ID", help="faults to apply (default: all)")
    parser.add_argument("--results", type=Path, default=ROOT / "runs" / "mutants.jsonl")
    parser.add_argument("--resume", action="store_true", help="skip faults in the results file")
    parser.add_argument("--timeout", type=float, default=900, help="seconds a fault may take")
    parser.add_argument("--compare", type=Path, help="results file of an earlier run")
    parser.add_argument("--skip-baseline", action="store_true", help="do not run unchanged tests")
    parser.add_argument("--check", action="store_true", help="only compare the list with the code")
    options = parser.parse_args()
    faults = read_faults(options.only)
    if wrong := [text for fault in faults for text in problems(fault)]:
        sys.exit("\n".join(wrong))
    if options.check:
        print(f"{len(faults)} faults match the code")
        return
    options.results.parent.mkdir(parents=True, exist_ok=True)
    if not options.resume:
        options.results.write_text("")
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        project = Copy(Path(folder))
        if not options.skip_baseline:
            run_baseline(project, faults, options)
        run_faults(project, faults, options)
    results = {row["id"]: row for row in read_results(options.results) if "id" in row}
    found = [results[fault["id"]] for fault in faults]
    report(found)
    if options.compare:
        compare({row["id"]: row for row in read_results(options.compare) if "id" in row}, found)
    sys.exit(any(row["result"] != CAUGHT for row in found))


def read_faults(only):
    """Return the faults of mutants.toml, or those with an id in `only`."""
    faults = tomllib.loads(FAULTS.read_text("utf-8"))["fault"]
    names = [fault["id"] for fault in faults]
    unknown = [name for name in only or () if name not in names]
    if len(set(names)) < len(names) or unknown:
        sys.exit(f"Ids must be unique and known. Received: {', '.join(unknown) or names}")
    return [fault for fault in faults if only is None or fault["id"] in only]


def problems(fault):
    """Yield why a fault cannot be applied to the current code, or its tests cannot be found."""
    name, path = fault["id"], ROOT / fault["file"]
    text = path.read_text("utf-8") if path.is_file() else ""
    if (count := text.count(fault["old"])) != 1:
        yield f"{name}: `old` must occur once in {fault['file']}. Received: {count} occurrences"
    elif fault["old"] == fault["new"]:
        yield f"{name}: `new` must differ from `old`"
    else:
        try:
            ast.parse(text.replace(fault["old"], fault["new"]))
        except SyntaxError as error:
            yield f"{name}: {fault['file']} must be valid Python with `new`. Received: {error}"
    for test in fault["tests"]:
        file, _, function = test.partition("::")
        if not (ROOT / file).is_file() or (function and function not in test_functions(file)):
            yield f"{name}: {test} must be a test"


@functools.cache
def test_functions(file):
    """Return the names of the test functions in a file, without the slow ones."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    is_slow = {f.name: "pytest.mark.long" in map(ast.unparse, f.decorator_list) for f in functions}
    return {name for name, slow in is_slow.items() if name.startswith("test_") and not slow}


def read_results(path):
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def append(path, row):
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def run_baseline(project, faults, options):
    """Run the tests of all faults on unchanged code, one file at a time; exit if one fails."""
    passed = {row["baseline"] for row in read_results(options.results) if row.get("passed")}
    arguments = collections.defaultdict(dict)  # by file, in order and without repetition
    for test in (test for fault in faults for test in fault["tests"]):
        arguments[test.partition("::")[0]][test] = None
    failed = []
    for file, tests in arguments.items():
        if file in passed:
            continue
        tests = [file] if file in tests else list(tests)
        code, output, seconds = project.run_tests(tests, 4 * options.timeout, "--durations=8")
        slowest = re.findall(r"^([\d.]+)s (\w+) +(\S+)", output, re.MULTILINE)
        row = {"baseline": file, "passed": code == PASSED, "seconds": round(seconds, 1)}
        append(options.results, row | {"slowest": [" ".join(entry) for entry in slowest]})
        print(f"unchanged  {file}: {'passed' if code == PASSED else 'FAILED'}, {seconds:.0f} s")
        if code != PASSED:
            failed.append(file)
            print(output[-3000:])
    if failed:
        sys.exit(f"Tests must pass without a fault. Received failures in: {', '.join(failed)}")


def run_faults(project, faults, options):
    done = {row["id"] for row in read_results(options.results) if "id" in row}
    for number, fault in enumerate(faults, start=1):
        if fault["id"] in done:
            continue
        path = project.root / fault["file"]
        text = path.read_text("utf-8")
        path.write_text(text.replace(fault["old"], fault["new"]), "utf-8")
        try:
            code, output, seconds = project.run_tests(fault["tests"], options.timeout, "-x")
        finally:
            path.write_text(text, "utf-8")
        result = {PASSED: SURVIVED, FAILED: CAUGHT, INTERRUPTED: BROKEN, None: TIMED_OUT}[code]
        test, reason = first_failure(output)
        row = {"id": fault["id"], "result": result, "seconds": round(seconds, 1)}
        append(options.results, row | {"test": test, "reason": reason})
        print(
            f"{number}/{len(faults)}  {fault['id']}: {result}, {seconds:.0f} s  {test}", flush=True
        )


def first_failure(output):
    """Return the first failed test in pytest's summary and the start of its error message."""
    test = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    reason = re.search(r"^E +(\S.*)", output, re.MULTILINE)
    return test[1] if test else "", reason[1][:200] if reason else ""


class Copy:
    """A copy of the project whose modules are imported as `seq2lite`.

    Args:
        folder: Empty folder for the copy and the tests' temporary files.
    """

    def __init__(self, folder):
        self.folder = folder
        self.root = folder / "project"
        shutil.copytree(ROOT, self.root, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)
        package = folder / "package" / "seq2lite"
        package.mkdir(parents=True)
        modules = (self.root / "seq2lite").iterdir()
        for path in (*(self.root / name for name in PACKAGES), *modules):
            (package / path.name).symlink_to(path)
        self.environment = os.environ | {
            # The cached bytecode of a file that changes twice within a second would be stale.
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(package.parent),
            # Otherwise the working folder, which has a folder seq2lite/, precedes PYTHONPATH.
            "PYTHONSAFEPATH": "1",
            "PYTEST_ADDOPTS": "",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        code = "from importlib.util import find_spec; print(find_spec('seq2lite.zoo').origin)"
        found = subprocess.run(
            [sys.executable, "-c", code],
            env=self.environment,
            cwd=self.root,
            capture_output=True,
            text=True,
        ).stdout.strip()
        if not found.startswith(str(package)):
            sys.exit(f"`seq2lite` must be imported from the copy {package}. Received: {found}")

    def run_tests(self, tests, timeout, *options):
        """Run pytest; return its exit code (None: timed out), its output and its duration in s."""
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
        command += ["--tb=short", f"--basetemp={self.folder / 'tests'}"]
        start = time.perf_counter()
        with subprocess.Popen(
            [*command, *options, *tests],
            env=self.environment,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=timeout)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                return None, "", time.perf_counter() - start
        code = process.returncode
        if -code in (signal.SIGKILL, signal.SIGTERM):  # from outside, so it proves nothing
            sys.exit(f"pytest must not be killed. Received: signal {-code}. Resume with --resume")
        if code < 0:  # a crash is a failure too
            code, output = FAILED, f"E   signal {-code}\n{output}"
        if code not in (PASSED, FAILED, INTERRUPTED):
            sys.exit(f"pytest must find {' '.join(tests)}. Received:\n{output[-3000:]}")
        return code, output, time.perf_counter() - start


def report(found):
    """Print the result of each fault, and the number of each result by package."""
    table = Table("fault", "result", "s", "test that caught it")
    for row in found:
        test = row["test"].rpartition("::")[2]
        table.add_row(row["id"], row["result"], f"{row['seconds']:.0f}", test)
    counts = Table("faults", "all", CAUGHT, SURVIVED, TIMED_OUT, BROKEN)
    for part in (*dict.fromkeys(row["id"].partition("-")[0] for row in found), "all"):
        results = [row["result"] for row in found if part in ("all", row["id"].partition("-")[0])]
        kinds = (CAUGHT, SURVIVED, TIMED_OUT, BROKEN)
        counts.add_row(part, str(len(results)), *(str(results.count(kind)) for kind in kinds))
    console = Console(width=None if Console().is_terminal else 120)
    console.print(table)
    console.print(counts)
    print(f"{sum(row['seconds'] for row in found) / 60:.0f} minutes")


def compare(before, found):
    """Print the faults that an earlier run caught and this one does not."""
    lost = [
        row["id"]
        for row in found
        if row["result"] != CAUGHT and before.get(row["id"], {}).get("result") == CAUGHT
    ]
    print(f"Caught before and no longer: {', '.join(lost) or 'none'}")


if __name__ == "__main__":
    main()
