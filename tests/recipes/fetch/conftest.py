import pytest

from seq2lite.recipes.fetch import debconf
from seq2lite.recipes.fetch.__main__ import main
from small_packages import serve


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """pooch waits between two tries."""
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.fixture
def mirror(tmp_path):
    """An empty mirror and package index on loopback."""
    with serve(tmp_path / "served") as mirror:
        mirror.root.mkdir()
        yield mirror


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    """Function that fetches the questions of a mirror into a folder."""
    monkeypatch.setattr(debconf, "SIZES", {"test": 8, "valid": 8})

    def fetch_questions(address, *more, output="set"):
        folder = tmp_path / output
        options = ["--output", str(folder), "--cache", str(tmp_path / "cache")]
        main(["debconf", *options, "--mirror", f"{address}/debian", *more])
        return folder

    return fetch_questions
