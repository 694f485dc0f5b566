"""Parallel text: user interfaces of programs, LibreOffice's help, Debian's package descriptions."""

import argparse
import html
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import polib
from debian.deb822 import Deb822

from .cleaning import MAX_CHARACTERS, clean
from .dataset import DataSet, Origin
from .debian import Debian, license_of, read_package
from .descriptions import descriptions
from .download import Cache
from .errors import FetchError
from .split import split

TITLE = "{source} to {target}: programs, LibreOffice's help, package descriptions"
DOWNLOAD = "220 MB"
SIZES = {"test-ui": 1000, "test-doc": 1000, "valid": 2400}
MIN_PAIRS = 10_000
# About 200 MB. A package has the translations of every language, or of {language}. Packages that a
# language lacks are ignored.
PROGRAMS = Path(__file__).with_name("programs.txt").read_text("utf-8").split()
HELP = ("libreoffice-help-en-us", "libreoffice-help-{language}")

Pairs = Iterable[tuple[str, str]]


def build(cache: Cache, options: argparse.Namespace) -> DataSet:
    """Build the rows `(source, target, kind, package or page)`, with English on one side."""
    source, target = options.name.split("-")
    language = target if source == "en" else source
    tag = language.replace("_", "-")  # names of packages and of LibreOffice's folders have pt-BR
    debian = Debian(cache, options.mirror)
    origins: list[Origin] = []
    rows: dict[tuple[str, str], tuple[str, ...]] = {}

    def add(pairs: Pairs, kind: str, place: str) -> bool:
        before = len(rows)
        for pair in pairs:
            if cleaned := clean(*pair):
                rows.setdefault(cleaned, (*cleaned, kind, place))
        return len(rows) > before

    programs = [name.format(language=tag.lower()) for name in PROGRAMS]
    for package, path in debian.get(programs, "programs"):
        if add(_interface_texts(path, language), "mo", package["Package"]):
            origins.append(_origin(package, path))
    helps = debian.get([name.format(language=tag.lower()) for name in HELP], "LibreOffice's help")
    if len(helps) == 2:
        (_, english_path), (_, other_path) = helps
        for page, pairs in _help_texts(english_path, other_path, tag):
            add(pairs, "lohelp", page)
        origins += [_origin(package, path) for package, path in helps]
    synopses, sentences = _description_texts(debian, language)
    for kind, texts in (("desc-syn", synopses), ("desc-sent", sentences)):
        for name, pair in texts:
            add([pair], kind, name)
    if synopses:
        license = "as the packaging of each package; translations: Debian's translators, likewise"
        origins.append(Origin(f"Translation-{language}", f"Debian {debian.version}", license))
    if len(rows) < MIN_PAIRS:
        raise FetchError(
            f"`name` must be a pair with a language that Debian is translated to. Received: "
            f"{options.name}, with {len(rows):,} texts"
        )
    splits = split(sorted(rows.values()), SIZES, eligible=_is_eligible)
    if source != "en":
        splits = {
            name: sorted((other, english, *rest) for english, other, *rest in part)
            for name, part in splits.items()
        }
    return DataSet(
        title=TITLE.format(source=source, target=target),
        edition=f"Debian {debian.version}",
        origins=origins,
        splits=splits,
        notes=[
            "test-ui: user interfaces of programs; test-doc: help and package descriptions; "
            "valid: both. Held-out rows have at least four English words.",
            "Marks of keyboard shortcuts (&, _, ~) are removed. Texts of more than "
            f"{MAX_CHARACTERS} characters, untranslated texts, and pairs with different "
            "placeholders are dropped.",
            *([] if len(helps) == 2 else ["LibreOffice's help is not available in this language."]),
        ],
    )


def read_catalog(content: bytes) -> list[tuple[str, str]]:
    """Read the messages and translations of a gettext catalog (`.mo`).

    Args:
        content: Bytes of the file.

    Returns:
        List of `(message, translation)` without contexts, with one form of each plural. The list is
        empty if the catalog is corrupted, or in an encoding that Python does not have.
    """
    try:
        catalog = polib.mofile(content)
    except (OSError, struct.error, UnicodeDecodeError):
        return []
    plurals = catalog.metadata.get("Plural-Forms", "")
    has_one_form = re.search(r"nplurals=\s*1\b", plurals) is not None
    messages = []
    for entry in catalog:
        # The single form of a language without plurals translates the English plural.
        message = (has_one_form and entry.msgid_plural) or entry.msgid
        translation = entry.msgstr_plural.get(0) or entry.msgstr
        if translation:
            messages.append((message, translation))
    return messages


def _interface_texts(path: Path, language: str) -> Iterator[tuple[str, str]]:
    folder = f"/{language}/LC_MESSAGES/"  # below /locale, or elsewhere in LibreOffice
    wanted = lambda name: folder in f"/{name}" and name.endswith(".mo")  # noqa: E731
    for _, content in read_package(path, wanted):
        yield from read_catalog(content)


def _help_texts(english: Path, other: Path, tag: str) -> Iterator[tuple[str, Pairs]]:
    """Paragraphs of the pages that LibreOffice's help has in both languages."""
    ours, theirs = _help_pages(english, "en-US"), _help_pages(other, tag)
    for page in sorted(ours.keys() & theirs.keys()):
        before, after = _help_paragraphs(ours[page]), _help_paragraphs(theirs[page])
        yield page, [(before[key], after[key]) for key in before if key in after]


def _help_pages(path: Path, tag: str) -> dict[str, str]:
    start = f"usr/share/libreoffice/help/{tag}/text/"
    wanted = lambda name: name.startswith(start) and name.endswith(".html")  # noqa: E731
    return {
        name.removeprefix(start): content.decode("utf-8", "replace")
        for name, content in read_package(path, wanted)
    }


def _help_paragraphs(page: str) -> dict[str, str]:
    """Paragraphs and headings of a page by their id, which is the same in each language."""
    found = {}
    for _, attributes, inner in re.findall(r"<(p|h[1-6])\b([^>]*)>(.*?)</\1>", page, re.S):
        if key := re.search(r'id="((?:par|hd|tit)_[^"]+)"', attributes):
            found[key[1]] = " ".join(html.unescape(re.sub(r"<[^>]*>", "", inner)).split())
    return found


Described = list[tuple[str, tuple[str, str]]]


def _description_texts(debian: Debian, language: str) -> tuple[Described, Described]:
    """Synopses and sentences of package descriptions: `(package, (english, other))`.

    A paragraph with another number of sentences than its translation is one text.
    """
    english = {
        (name, md5): (synopsis, paragraphs)
        for name, md5, synopsis, paragraphs in descriptions(debian, "en")
    }
    synopses: Described = []
    sentences: Described = []
    for name, md5, synopsis, paragraphs in descriptions(debian, language):
        if (name, md5) not in english:  # the translation is of another version
            continue
        original_synopsis, originals = english[name, md5]
        synopses.append((name, (original_synopsis, synopsis)))
        if len(originals) != len(paragraphs):
            continue
        for pair in zip(originals, paragraphs, strict=True):
            ours, theirs = (re.split(r"(?<=[.!?。])\s+(?=\S)", text) for text in pair)
            pairs = zip(ours, theirs, strict=True) if len(ours) == len(theirs) else [pair]
            sentences += [(name, texts) for texts in pairs]
    return synopses, sentences


def _origin(package: Deb822, path: Path) -> Origin:
    return Origin(package["Package"], package["Version"], *license_of(path, package["Package"]))


def _is_eligible(row: tuple[str, ...], name: str) -> bool:
    is_interface = row[2] == "mo"
    is_wanted = {"test-ui": is_interface, "test-doc": not is_interface}.get(name, True)
    return is_wanted and len(row[0].split()) >= 4
