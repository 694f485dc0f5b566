"""Downloads are verified, complete or absent, and show no password."""

import errno
import hashlib
import os
import re
import ssl

import pooch
import pytest
import requests

from seq2lite.recipes.fetch import download, registry
from seq2lite.recipes.fetch.debian import Debian
from seq2lite.recipes.fetch.download import Cache, Download
from seq2lite.recipes.fetch.errors import FetchError, UnreachableError

CONTENT = b"content" * 20_000


def a_file(mirror, name="a", content=CONTENT):
    mirror.write(name, content)
    digest = hashlib.sha256(content).hexdigest()
    return Download(f"{mirror.address}/{name}", f"pool/{name}", digest, len(content))


def names(folder):
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())


def test_a_file_is_downloaded_once_and_again_when_it_is_corrupted(mirror, tmp_path):
    cache, file = Cache(tmp_path / "cache"), a_file(mirror)
    (path,) = cache.get([file], "files")
    assert path == tmp_path / "cache/pool/a" and path.read_bytes() == CONTENT
    assert cache.requested == {"pool/a": file.sha256}
    assert cache.get([file], "files") == [path] and mirror.requests == ["/a"]
    path.write_bytes(b"corrupted")
    cache.get([file], "files")
    assert path.read_bytes() == CONTENT and mirror.requests == ["/a"] * 2


def test_files_are_downloaded_in_order_into_new_folders(mirror, tmp_path):
    files = [a_file(mirror, f"x/{i % 3}/{i}", str(i).encode()) for i in range(30)]
    paths = Cache(tmp_path / "cache").get(files, "files")
    assert [path.read_text() for path in paths] == [str(i) for i in range(30)]


def test_others_can_read_the_cache(mirror, tmp_path):
    (path,) = Cache(tmp_path / "cache").get([a_file(mirror)], "files")
    assert path.stat().st_mode & 0o777 == 0o644


def test_an_incomplete_download_is_tried_again(mirror, tmp_path):
    file = a_file(mirror)
    mirror.failures["/a"] = download.NUM_RETRIES
    (path,) = Cache(tmp_path / "cache").get([file], "files")
    assert path.read_bytes() == CONTENT and len(mirror.requests) == download.NUM_RETRIES + 1


def test_the_progress_bar_counts_a_retried_and_a_cached_file_once(mirror, tmp_path):
    file, counts = a_file(mirror), []
    mirror.failures["/a"] = 1
    for _ in range(2):
        bar = download._FileProgress(counts.append)
        Cache(tmp_path / "cache")._fetch(file.url, file.name, file.sha256, bar)
        assert sum(counts) == len(CONTENT)
        counts.clear()


def test_a_server_that_fails_is_named_with_the_reason(mirror, tmp_path):
    file = a_file(mirror)
    mirror.failures["/a"] = 99
    with pytest.raises(UnreachableError, match=r"/a cannot be reached: IncompleteRead\(4 bytes"):
        Cache(tmp_path / "cache").get([file], "files")
    missing = Download(f"{mirror.address}/b", "b", file.sha256)
    with pytest.raises(UnreachableError, match=r"/b cannot be reached: HTTP 404 File not found$"):
        Cache(tmp_path / "cache").get([missing], "files")
    refused = Download("http://127.0.0.1:9/b", "b", file.sha256)
    with pytest.raises(UnreachableError, match=r"/b cannot be reached: \[Errno 111\] Connection"):
        Cache(tmp_path / "cache").get([refused], "files")
    assert not names(tmp_path / "cache")


def test_another_file_than_the_known_one_is_refused(mirror, tmp_path):
    file = a_file(mirror)
    mirror.write("a", b"other")
    other = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(FetchError, match=f"(?s)/a must have its known checksum.*{other}") as error:
        Cache(tmp_path / "cache").get([file], "files")
    assert file.sha256 in str(error.value) and "\n" not in str(error.value)
    assert not names(tmp_path / "cache")


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, r"^The disk of .*cache is full\. No incomplete"),
        (errno.EACCES, "cache must be a writable folder"),
    ],
)
def test_a_disk_error_names_the_cache_and_leaves_no_file(
    mirror, tmp_path, monkeypatch, number, message
):
    def fail(self, url, output_file, _):
        with open(output_file, "wb") as file:
            file.write(b"half")
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", fail)
    for get in (
        lambda cache: cache.get([a_file(mirror)], "files"),
        lambda cache: cache.refresh(f"{mirror.address}/a", "a"),
    ):
        with pytest.raises(FetchError, match=message):
            get(Cache(tmp_path / "cache"))
        assert not names(tmp_path / "cache")


def test_a_folder_that_cannot_be_created_is_named(mirror, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FetchError, match=r"file/cache must be a writable folder"):
        Cache(tmp_path / "file/cache").get([a_file(mirror)], "files")


def test_an_interrupt_leaves_no_file_and_starts_no_other_download(mirror, tmp_path, monkeypatch):
    def interrupt(self, url, output_file, _):
        started.append(url)
        with open(output_file, "wb") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    started = []
    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupt)
    monkeypatch.setattr(download, "NUM_CONNECTIONS", 1)
    with pytest.raises(KeyboardInterrupt):
        Cache(tmp_path / "cache").get([a_file(mirror, str(i)) for i in range(99)], "files")
    assert len(started) < 99 and not names(tmp_path / "cache")


def test_a_file_without_a_checksum_is_refreshed_and_kept_for_a_lost_network(
    mirror, tmp_path, capsys
):
    cache = Cache(tmp_path / "cache")
    for content in (b"one", b"two"):
        mirror.write("a", content)
        path = cache.refresh(f"{mirror.address}/a", "x/a")
        assert path.read_bytes() == content
        assert cache.requested == {"x/a": hashlib.sha256(content).hexdigest()}
    (tmp_path / "cache/x/a.new").write_text("of an interrupted process")
    mirror.write("a", b"three")
    assert cache.refresh(f"{mirror.address}/a", "x/a").read_bytes() == b"three"
    assert not capsys.readouterr().err
    assert cache.refresh("http://127.0.0.1:9/a", "x/a").read_bytes() == b"three"
    expected = "x/a cannot be reached: [Errno 111] Connection refused. Its cached copy is used\n"
    assert capsys.readouterr().err == f"http://127.0.0.1:9/{expected[2:]}"
    mirror.requests.clear()
    offline = Cache(tmp_path / "cache", offline=True)
    assert offline.refresh(f"{mirror.address}/a", "x/a").read_bytes() == b"three"
    assert not mirror.requests and names(tmp_path / "cache") == ["x/a"]
    with pytest.raises(UnreachableError):
        cache.refresh("http://127.0.0.1:9/a", "x/b")


def test_offline_a_file_that_is_not_cached_is_an_error(mirror, tmp_path):
    cache = Cache(tmp_path / "cache", offline=True)
    with pytest.raises(FetchError, match=r"/a must be in .*cache to be used with --offline"):
        cache.get([a_file(mirror)], "files")
    with pytest.raises(FetchError, match=r"/a must be in .*cache to be used with --offline"):
        cache.refresh(f"{mirror.address}/a", "a")
    assert not mirror.requests


def test_a_local_mirror_is_read(mirror, tmp_path):
    file = a_file(mirror, "a b")
    local = Download(f"file://{mirror.root}/a%20b", file.name, file.sha256)
    assert Cache(tmp_path / "cache").get([local], "files")[0].read_bytes() == CONTENT
    missing = Download(f"file://{mirror.root}/c", "c", file.sha256)
    with pytest.raises(FetchError, match=r"/c must be a file: No such file"):
        Cache(tmp_path / "cache").get([missing], "files")


def test_the_certificates_of_the_system_are_used(mirror, tmp_path, monkeypatch):
    def get(url, **options):
        assert options["verify"] == str(certificates) and options["timeout"] == download.TIMEOUT
        raise requests.ConnectionError("seen")

    certificates = tmp_path / "ca.pem"
    certificates.write_text("")
    monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, str(certificates))
    monkeypatch.setattr(requests, "get", get)
    with pytest.raises(UnreachableError, match="seen"):
        Cache(tmp_path / "cache").get([a_file(mirror)], "files")


def test_a_password_is_sent_to_its_host_alone_and_not_shown(mirror, tmp_path):
    cache = Cache(tmp_path)
    basic = "Basic bWU6c0BjcmV0"  # me:s@cret
    address = mirror.address.replace("://", "://me:s%40cret@") + "/simple"
    with pytest.raises(FetchError, match=r"^http://127.* cannot be reached: .*") as error:
        registry.pypi_file(cache, address, "a", "a.whl", "0" * 64)
    assert "cret" not in str(error.value)
    page = mirror.write("simple/a/index.html", b'<a href="../../a.whl#sha256=0">it</a>')
    file = a_file(mirror, "a.whl")
    found = registry.pypi_file(cache, address, "a", "a.whl", file.sha256)
    assert found.read_bytes() == CONTENT
    assert mirror.authorizations[-2:] == [basic] * 2  # to page and wheel
    elsewhere = mirror.address.replace("127.0.0.1", "localhost")
    page.write_text(f'<a href="{elsewhere}/a.whl">it</a>')
    registry.pypi_file(Cache(tmp_path / "b"), address, "a", "a.whl", file.sha256)
    assert mirror.authorizations[-2:] == [basic, None]
    mirror.redirects["/moved"] = f"{elsewhere}/a.whl"
    url = f"{address.removesuffix('simple')}moved"
    cache.get([Download(url, "moved", file.sha256)], "files")
    assert mirror.authorizations[-2:] == [basic, None]


def ask(tmp_path, address):
    """Functions that use an address as that of an index and of a mirror."""
    yield lambda: registry.pypi_file(Cache(tmp_path), address, "a", "a.whl", "0" * 64)
    yield lambda: Debian(Cache(tmp_path), address)


@pytest.mark.parametrize(
    "address", ["me:secret@host/simple", "ftp://me:secret@host/simple", "host/simple", "https://"]
)
def test_an_address_without_a_known_scheme_and_a_host_is_refused(tmp_path, address):
    shown = address.replace("me:secret@", "")
    for function in ask(tmp_path, address):
        with pytest.raises(FetchError, match=f"must be an https:// address.*: {re.escape(shown)}$"):
            function()


@pytest.mark.parametrize(
    "password", ["se/cret", "12/cret", "12#cret", "12?cret", "s[cret", "s℀cret"]
)
@pytest.mark.parametrize("scheme", ["https://", "https:/", ""])
def test_a_password_that_is_not_encoded_is_not_shown(tmp_path, scheme, password):
    for function in ask(tmp_path, f"{scheme}me:{password}@host/simple"):
        with pytest.raises(FetchError, match=r"percent-encoded\. Received: ") as error:
            function()
        assert "cret" not in str(error.value)


def test_an_index_must_list_the_file(mirror, tmp_path):
    mirror.write("simple/a/index.html", b'<a href="b.whl">it</a>')
    with pytest.raises(FetchError, match=r"must list a\.whl\. Received: an index without it"):
        registry.pypi_file(Cache(tmp_path), f"{mirror.address}/simple", "a", "a.whl", "0" * 64)
