"""How the small sets of `recipes/data` were made; a maintainer's script, run by hand.

    python -m seq2lite.recipes.fetch.package_data FOLDER --g2p g2p.en.BSD-2.tsv.gz

Questions: the FAQs of Python and Perl, out of Debian's packages of their documentation. Summaries:
the docstrings of the installed Keras and TensorFlow. Spelling: a file of rows, split.
"""

import argparse
import ast
import gzip
import hashlib
import importlib.metadata
import importlib.util
import json
import re
from pathlib import Path

from ..data.normalize import comparable
from .archives import members
from .building import table
from .debian import MIRROR, Debian
from .download import Cache
from .split import split

FAQ = "faq.en.Python-2.0-AND-Artistic-1.0-Perl"
DOCSTRINGS = "docstrings.en.Apache-2.0"
MIN_WORDS, MAX_WORDS = 12, 110  # of a context


def faqs(cache, mirror):
    """(context, question, answer, title) of the FAQs of Python and of Perl."""
    debian, found = Debian(cache, mirror), []
    for package, path in debian.get(["python3.11-doc", "perl-doc"], "documentation"):
        python = package["Package"].startswith("python")
        pattern = r".*/_sources/faq/\w+\.rst\.txt" if python else r".*/pod/perlfaq\d\.pod"
        for _, content in members(path, re.compile(pattern).fullmatch):
            text = content.decode("utf-8")
            if python:
                title = "Python: " + re.search(r"^ *(\S.*)\n[=#]+$", text, re.M)[1]
                sections = re.split(r"^(\S.*\?)\n[-=^~]{4,}$", text, flags=re.M)
                strip = _strip_rst
            else:
                title = re.search(r"^perlfaq\d - .*", text, re.M)[0]
                sections = re.split(r"^=head[12] (.*)$", text, flags=re.M)
                strip = _strip_pod
            for question, body in zip(sections[1::2], sections[2::2], strict=True):
                question = " ".join(strip(question).split())
                example = _example([strip(p) for p in re.split(r"\n\s*\n", body)])
                if question.endswith("?") and example:
                    found.append((example[0], question, example[1], title))
    return sorted(found)


def _example(paragraphs):
    """The prose of a section, cut after some paragraphs, and its first sentences: the answer."""
    prose = []
    for paragraph in paragraphs:
        text = paragraph.strip("\n")
        # Code is indented; directives, headings, commands and lists begin with marks.
        if re.match(r"\s|\.\. |=\w|[-*#+|>] |\d+[.)] |[-=^~]{3}", text) or re.search(
            r"\n[-=^~]{3}", text
        ):
            continue
        text = " ".join(text.split()).removesuffix("::").strip()
        text = re.sub(r"^\(contributed by [^)]*\)\s*", "", text, flags=re.I)
        if text:
            prose.append(text)
        if sum(len(p.split()) for p in prose) >= MAX_WORDS:
            break
    words = sum(len(p.split()) for p in prose)
    if not MIN_WORDS <= words <= 2 * MAX_WORDS:
        return None
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z\"`(])", prose[0])
    # "Yes.", "It depends." say little alone.
    answer = " ".join(sentences[:2] if len(sentences[0].split()) < 6 else sentences[:1])
    if answer.endswith(":") or re.search(
        r"\b[A-Z]<", " ".join(prose)
    ):  # code followed; POD is left
        return None
    return " ".join(prose), answer


def _strip_rst(text):
    text = re.sub(r":[\w:+-]+:`~?([^`<]*?)\s*(?:<[^`]*>)?`", r"\1", text)
    text = re.sub(r"``(.+?)``", r"\1", text)
    text = re.sub(r"`([^`<]+?)\s*<[^`>]*>`__?", r"\1", text)
    text = re.sub(r"`([^`]+)`_?", r"\1", text)
    return re.sub(r"(?<!\w)\*{1,2}([^*\s][^*]*?)\*{1,2}(?!\w)", r"\1", text)


def _strip_pod(text):
    for _ in range(3):  # they nest
        text = re.sub(r"X<[^<>]*>", "", text)
        text = re.sub(r"L<([^<>|]*)\|[^<>]*>", r"\1", text)
        text = re.sub(r"[BCFILS]<+ ?([^<>]*?) ?>+", r"\1", text)
    return text.replace("E<gt>", ">").replace("E<lt>", "<")


def squad(rows):
    """SQuAD's JSON of (context, question, answer, title)."""
    data = {}
    for context, question, answer, title in rows:
        qa = {
            "question": question,
            "id": hashlib.sha256(question.encode()).hexdigest()[:16],
            "answers": [{"text": answer, "answer_start": context.index(answer)}],
        }
        data.setdefault(title, []).append({"context": context, "qas": [qa]})
    articles = [{"title": title, "paragraphs": data[title]} for title in sorted(data)]
    return json.dumps({"version": "1.1", "data": articles}, ensure_ascii=False, indent=1)


def docstrings():
    """(description, summary, package, module) of docstrings that have both."""
    found = {}
    for package, below in (("keras", "src"), ("tensorflow", "python")):
        # Found, not imported.
        root = Path(importlib.util.find_spec(package).submodule_search_locations[0])
        origin = f"{package} {importlib.metadata.version(package)}"
        for file in sorted((root / below).rglob("*.py")):
            if file.name.endswith("_test.py"):
                continue
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                    pair = _summary(ast.get_docstring(node) or "")
                    where = str(file.relative_to(root)).removesuffix(".py").replace("/", ".")
                    if pair and comparable(pair[0]) not in found:
                        found[comparable(pair[0])] = (*pair, origin, where)
    return sorted(found.values())


def _summary(text):
    first, *rest = re.split(r"\n\s*\n", text)
    prose = []
    for paragraph in rest:
        # Sections (Args:, Example:), code, lists and tables end the description.
        if re.match(r"[A-Z][\w ]{2,30}:\s*(\n|$)|>>>|```|\s|[-*#|.] ?|\d+\.|@", paragraph):
            break
        prose.append(" ".join(paragraph.split()))
    first, body = " ".join(first.split()), " ".join(prose)
    if not (3 <= len(first.split()) <= 20 and 12 <= len(body.split()) <= 120):
        return None
    if not first.endswith(".") or "TODO" in text or "eprecated" in text or ">>>" in first:
        return None
    return body.removesuffix(":"), first


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--g2p", type=Path, required=True)
    parser.add_argument("--cache")
    parser.add_argument("--mirror", default=MIRROR)
    options = parser.parse_args()
    parts = split(faqs(Cache(options.cache), options.mirror), {"valid": 60})
    for name, rows in parts.items():
        content = gzip.compress(squad(rows).encode(), mtime=0)
        (options.folder / f"{FAQ}.{name}.json.gz").write_bytes(content)
        print(f"{FAQ} {name}: {len(rows):,}")
    lines = gzip.decompress(options.g2p.read_bytes()).decode().splitlines()
    spelling = [tuple(line.split("\t")[:2]) for line in lines]
    tables = {
        options.g2p.name.removesuffix(".tsv.gz"): split(spelling, {"valid": 400}, near=None),
        DOCSTRINGS: split(docstrings(), {"valid": 300}, group=lambda row: row[3]),
    }
    for stem, parts in tables.items():
        for name, rows in parts.items():
            (options.folder / f"{stem}.{name}.tsv.gz").write_bytes(table(rows))
            print(f"{stem} {name}: {len(rows):,}")


if __name__ == "__main__":
    main()
