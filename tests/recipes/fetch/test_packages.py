"""Packages, indices and catalogs are read, and corrupted ones are named."""

import pytest

from seq2lite.recipes.fetch.cleaning import clean
from seq2lite.recipes.fetch.debconf import questions
from seq2lite.recipes.fetch.debian import license_of, paragraphs, read_package
from seq2lite.recipes.fetch.errors import FetchError
from seq2lite.recipes.fetch.translations import read_catalog
from small_packages import TEMPLATE, catalog, deb


def write(tmp_path, content):
    path = tmp_path / "a.deb"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
def test_the_wanted_files_of_either_part_are_read(tmp_path, compression):
    files = {"usr/a": b"one", "usr/b": b"two", "c": b"three"}
    path = write(tmp_path, deb({"control": b"Package: a\n"}, files, compression))
    assert dict(read_package(path, lambda name: name.startswith("usr/"))) == {
        "usr/a": b"one",
        "usr/b": b"two",
    }
    assert list(read_package(path, lambda _: True, "control")) == [("control", b"Package: a\n")]


def test_a_package_of_zstandard_needs_unzstd(tmp_path, monkeypatch):
    path = write(tmp_path, deb(data={"a": b"one"}, compression="zst"))
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(FetchError, match=r"a\.deb must be a Debian package.*unzstd"):
        list(read_package(path, lambda _: True))
    program = programs / "unzstd"
    program.write_text("#!/bin/sh\nexec /bin/cat\n")
    program.chmod(0o755)
    assert list(read_package(path, lambda _: True)) == [("a", b"one")]


@pytest.mark.parametrize(
    "content",
    [b"", b"!<arch>\n", b"no package", deb()[:100], deb()[:150], deb(data={"a": b"x"})[:-30]],
    ids=["empty", "header", "other", "cut early", "cut", "cut late"],
)
def test_a_corrupted_package_is_named(tmp_path, content):
    with pytest.raises(FetchError, match=r"a\.deb must be a Debian package\. Received: \w"):
        list(read_package(write(tmp_path, content), lambda name: True))


def test_fields_are_read_after_free_text_and_with_any_character():
    text = "Free text.\n\nName: a\u2028b\n c\x85d\f:\n .\r\n \n  indented\n\n\n# comment\nLast: 1"
    first, second = paragraphs(text)
    assert first["name"] == "a b\n c d :\n .\n  indented"
    assert dict(second) == {"Last": "1"}
    assert [dict(p) for p in paragraphs("A: 1\nB: 2\n\nB: 3\n", ["A"])] == [{"A": "1"}]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Format: 1\n\nFiles: x\nLicense: MIT\n\nFiles: *\nLicense: GPL-2+\n text\n", "GPL-2+"),
        ("Files: *\nLicense:\n GPL-2+\n text\n", "GPL-2+"),
        ("Some words.\n\nFiles: *\nCopyright: x\n", "see the copyright file"),
        ("", "see the copyright file"),
    ],
)
def test_the_license_is_that_of_all_files(tmp_path, text, name):
    path = write(tmp_path, deb(data={"usr/share/doc/a/copyright": text.encode()} if text else {}))
    assert license_of(path, "a") == (name, text)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("forms", "message"), [(1, "%d files"), (2, "%d file")])
def test_catalogs_are_read_without_contexts_and_with_one_plural(order, forms, message):
    header = f"Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals={forms}; plural=0;\n"
    pairs = [
        ("", header),
        ("%d file\0%d files", "%d 파일\0%d 파일들"),
        ("later", ""),
        ("menu\4Open", "열기"),
    ]
    assert read_catalog(catalog(pairs, order)) == [(message, "%d 파일"), ("Open", "열기")]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nothing",
        catalog([("a", "b")])[:30],
        catalog([("", "Content-Type: text/plain; charset=ascii\n"), ("a", "열기")]),
    ],
    ids=["empty", "other", "cut", "encoding"],
)
def test_a_corrupted_catalog_has_no_messages(content):
    assert read_catalog(content) == []


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


def test_only_a_template_that_needs_an_answer_is_a_question():
    template = TEMPLATE.format(1, "server", "now")
    expected = "The server of package 1 may be started now, or at the next boot of this machine."
    assert questions(template) == [(expected, "Start the server now?")]
    assert questions(f"{template}\n \n{template}") == questions(template) * 2
    assert questions(template.replace("Description", "_Description")) == questions(template)
    assert not questions(template.replace("boolean", "note"))
    assert not questions(template.replace("now?", "${what}?"))
    assert not questions(template.replace("Start the server now?", "Start?"))
    assert not questions("Type: boolean\nDescription: Start the server now?\n Short.\n")
