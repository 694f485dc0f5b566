"""Parallel text: programs' interfaces, LibreOffice's help and package descriptions in Debian."""

import html
import re
import unicodedata

from ..data.normalize import comparable
from .archives import members
from .building import Built, Part
from .debian import Debian, copyright_of
from .descriptions import descriptions
from .download import FetchError
from .gettext_file import read_mo
from .split import split

TITLE = "{source} to {target}: programs, LibreOffice's help, package descriptions"
SIZES = {"test-ui": 1000, "test-doc": 1000, "valid": 2400}
MAX_CHARACTERS = 400
# Programs that carry their translations of every language, or a package for each ({language});
# about 200 MB. A language without one of them goes without.
PROGRAMS = [
    "aegisub-l10n",
    "anjuta-common",
    "ardour-data",
    "audacity-data",
    "binutils-common",
    "bison",
    "caja-common",
    "calligra-data",
    "cinnamon-l10n",
    "claws-mail-i18n",
    "coreutils",
    "darktable",
    "dia-common",
    "digikam-data",
    "dolphin-emu-data",
    "dpkg-dev",
    "epiphany-browser-data",
    "evolution-common",
    "evolution-data-server-common",
    "filezilla-common",
    "findutils",
    "fontforge-common",
    "gawk",
    "gcc-12-locales",
    "gedit-common",
    "geeqie-common",
    "gettext",
    "git",
    "gnome-control-center-data",
    "gnome-shell-common",
    "gnome-software-common",
    "gnucash-common",
    "gnumeric-common",
    "gnupg-l10n",
    "gparted-common",
    "hexchat-common",
    "hplip-data",
    "kate5-data",
    "kdevelop-l10n",
    "kile-l10n",
    "kio",
    "krita-l10n",
    "libc-l10n",
    "libgladeui-common",
    "libglib2.0-data",
    "libgtk-3-common",
    "libgtk-4-common",
    "libkf5i18n-data",
    "libkf5unitconversion-data",
    "libreoffice-l10n-{language}",
    "libvirt-l10n",
    "lmms-common",
    "make",
    "mate-control-center-common",
    "mate-panel-common",
    "mypaint-data",
    "nautilus-data",
    "network-manager",
    "packagekit",
    "pidgin-data",
    "postgresql-client-15",
    "remmina-common",
    "rhythmbox-data",
    "shotwell-common",
    "simple-scan",
    "subversion",
    "synaptic",
    "tar",
    "tellico-data",
    "thunar-data",
    "totem-common",
    "virt-manager",
    "vlc-l10n",
    "wget",
    "xfce4-settings",
    "xkb-data",
    "zypper-common",
]
HELP = ("libreoffice-help-en-us", "libreoffice-help-{language}")


def build(cache, options):
    """(source, target, origin, package or page); one side is English."""
    source, target = options.name.split("-")
    language = target if source == "en" else source
    dashed = language.replace("_", "-")  # as packages and LibreOffice write pt_BR
    debian = Debian(cache, options.mirror)
    parts, rows = [], {}

    def add(pairs, origin, where):
        for english, other in pairs:
            kept = clean(english, other)
            if kept:
                rows.setdefault(kept, (*kept, origin, where))

    programs = [name.format(language=dashed.lower()) for name in PROGRAMS]
    inside = f"/{language}/LC_MESSAGES/"  # below /locale, or where LibreOffice has it
    for package, path in debian.get(programs, "programs"):
        files = members(path, lambda name: inside in f"/{name}" and name.endswith(".mo"))
        before = len(rows)
        for _, content in files:
            add(_messages(content), "mo", package["Package"])
        if len(rows) > before:
            parts.append(_part(package, path))
    helps = debian.get(
        [name.format(language=dashed.lower()) for name in HELP], "LibreOffice's help"
    )
    if len(helps) == 2:
        pages = [_pages(path, tag) for (_, path), tag in zip(helps, ("en-US", dashed), strict=True)]
        for page in sorted(pages[0].keys() & pages[1].keys()):
            english, other = (_paragraphs(pages[i][page]) for i in (0, 1))
            common = [key for key in english if key in other]
            add([(english[key], other[key]) for key in common], "lohelp", page)
        parts += [_part(*package) for package in helps]
    translated = debian.index(f"main/i18n/Translation-{language}")
    if translated:
        for kind, pairs in _described(debian, translated, language):
            for name, english, other in pairs:
                add([(english, other)], kind, name)
        parts.append(
            Part(
                f"Translation-{language}",
                f"Debian {debian.version}",
                "as the packaging of each package; translations: Debian's translators, likewise",
            )
        )
    if len(rows) < 10_000:
        raise FetchError(
            f"`pair` must be a language that Debian has translations for. Received: "
            f"{options.name}, with {len(rows):,} pairs"
        )
    swap = source != "en"
    parts_of = split(sorted(rows.values()), SIZES, eligible=_eligible)
    return Built(
        title=TITLE.format(source=source, target=target),
        edition=f"Debian {debian.version}",
        parts=parts,
        rows={
            name: sorted((row[1], row[0], *row[2:]) for row in part) if swap else part
            for name, part in parts_of.items()
        },
        notes=[
            "test-ui: programs' interfaces; test-doc: help and package descriptions; valid: both. "
            "Held-out rows have four English words or more.",
            "Marks of keyboard shortcuts (&, _, ~) are taken out; texts longer than "
            f"{MAX_CHARACTERS} characters, untranslated ones and ones of unlike placeholders "
            "are left out.",
            *([] if len(helps) == 2 else ["LibreOffice's help is not there in this language."]),
        ],
    )


def clean(english, other):
    """A pair ready to train on, or None where it is no translation or no text.

    Example:
        >>> from seq2lite.recipes.fetch.translations import clean
        >>> clean("_Open File…", "파일 열기(_O)…")
        ('Open File…', '파일 열기…')
        >>> clean("Read %d files", "Lies Dateien") is None  # a placeholder is missing
        True
    """
    english, other = _without_shortcuts(_one_line(english), _one_line(other))
    if not (1 < len(english) <= MAX_CHARACTERS and 0 < len(other) <= MAX_CHARACTERS):
        return None
    if not (comparable(english) and comparable(other)) or english.casefold() == other.casefold():
        return None
    if _placeholders(english) != _placeholders(other):
        return None
    # A translation four times as long as the other is of another version of the text.
    if len(english.encode()) > 4 * len(other.encode()) + 20 or len(other) > 4 * len(english) + 20:
        return None
    # Names of colours, codecs, paths and keys: one word of the source that is no word.
    if not re.search(r"[A-Za-z]{2}", english) or re.fullmatch(r"\S*[_/\\.]\S*[A-Za-z0-9]", english):
        return None
    return english, other


def _eligible(row, name):
    ui = row[2] == "mo"
    wanted = {"test-ui": ui, "test-doc": not ui}.get(name, True)
    return wanted and len(row[0].split()) >= 4


_ASIDE = re.compile(r"\s*\([&_~][^\W_]\)")  # (_F): how languages of other scripts mark a shortcut
_AT_START = re.compile(r"(?<![^\s(\"'])[&_~](?=[^\W\d_]{2})(?!\w+;)")


def _without_shortcuts(english, other):
    """Both without the marks of keyboard shortcuts: `_Open`, `For_mat`, `열기(_O)`."""
    english, short = _ASIDE.sub("", english), _ASIDE.sub("", other)
    for mark in "&_~":
        words = [word for word in english.split() if mark in word]
        marked = short != other or short.count(mark) == 1
        # One mark on each side; a word of both sides is a name, such as max_size.
        if marked and english.count(mark) == 1 and len(words[0]) > 1 and words[0] not in short:
            english, short = english.replace(mark, ""), short.replace(mark, "")
    return _AT_START.sub("", english), _AT_START.sub("", short)


def _one_line(text):
    return " ".join(unicodedata.normalize("NFC", text).replace("\0", " ").split())


def _placeholders(text):
    return sorted(re.findall(r"%(?:\d+\$)?[-+#0]?[\d.*]*(?:hh|ll|[hlLzjt])?([sdiufcxXeg])\b", text))


def _messages(content):
    try:
        return read_mo(content)
    except ValueError:  # a few are of an encoding that Python has not; one less
        return []


def _part(package, path):
    return Part(package["Package"], package["Version"], *copyright_of(path, package["Package"]))


def _pages(path, tag):
    start = f"usr/share/libreoffice/help/{tag}/text/"
    files = members(path, lambda name: name.startswith(start) and name.endswith(".html"))
    return {name.removeprefix(start): content.decode("utf-8", "replace") for name, content in files}


def _paragraphs(page):
    """Paragraphs and headings of a page of LibreOffice's help, by the id that languages share."""
    found = {}
    for _, attributes, inner in re.findall(r"<(p|h[1-6])\b([^>]*)>(.*?)</\1>", page, re.S):
        key = re.search(r'id="((?:par|hd|tit)_[^"]+)"', attributes)
        text = html.unescape(re.sub(r"<[^>]*>", "", inner))
        if key:
            found[key[1]] = " ".join(text.split())
    return found


def _described(debian, translated, language):
    """Synopses, and sentences of the paragraphs that have as many in both languages."""
    english = {
        (name, md5): (synopsis, paragraphs)
        for name, md5, synopsis, paragraphs in descriptions(
            debian.index("main/i18n/Translation-en"), "en"
        )
    }
    synopses, sentences = [], []
    for name, md5, synopsis, paragraphs in descriptions(translated, language):
        if (name, md5) not in english:
            continue
        original, originals = english[name, md5]
        synopses.append((name, original, synopsis))
        if len(originals) != len(paragraphs):
            continue
        for before, after in zip(originals, paragraphs, strict=True):
            ours, theirs = (re.split(r"(?<=[.!?。])\s+(?=\S)", text) for text in (before, after))
            if len(ours) == len(theirs):
                sentences += [(name, *both) for both in zip(ours, theirs, strict=True)]
            else:
                sentences.append((name, before, after))
    return [("desc-syn", synopses), ("desc-sent", sentences)]
