"""A `Runner` in several threads and processes gives the targets of one thread."""

import copy
import itertools
import json
import multiprocessing
import pickle
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from seq2lite import export
from seq2lite.export.runtime.interpreter import open_interpreter

NUM_THREADS = 8
TEXTS = ["Open File", "파일 열기", "Close all of the editors", "Save", "", "Show the next error"]


@pytest.fixture(scope="module")
def runner(bundle):
    return export.load(bundle)


def call(runner, seed):
    """One of five searches on random texts in a random batch, decided by `seed`."""
    rng = np.random.default_rng(seed)
    texts = [TEXTS[i] for i in rng.integers(0, len(TEXTS), rng.integers(1, 5))]
    length, batch = {"max_length": int(rng.integers(2, 9))}, {"batch_size": int(rng.integers(1, 4))}
    if seed % 5 == 0:
        return runner.generate(texts, **length, **batch, num_beams=1)
    if seed % 5 == 1:
        beams = runner.generate_beam(texts, **length, **batch)
        return [[(text, round(score, 4)) for text, score in each] for each in beams]
    if seed % 5 == 2:
        return runner.sample(texts, seed=seed, **length, **batch)
    if seed % 5 == 3:
        return list(runner.stream(texts[0], **length))
    return [round(each.log_probability, 3) for each in runner.score(texts, texts[::-1], **batch)]


def compare(runner, num_calls, num_different):
    """Compare calls from several threads with those of one thread."""
    expected = [call(runner, seed) for seed in range(num_different)]
    assert len(set(map(str, expected))) > num_different // 2
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        found = pool.map(lambda i: call(runner, i % num_different), range(num_calls))
        assert all(each == expected[i % num_different] for i, each in enumerate(found))


def test_threads_that_share_a_runner_get_the_targets_of_one_thread(runner):
    compare(runner, 180, 60)


@pytest.mark.long
def test_10000_calls_of_8_threads_are_right_and_take_no_more_memory(bundle):
    runner = export.load(bundle)
    compare(runner, 1000, 300)
    before = resident()
    compare(runner, 10_000, 300)
    assert resident() - before < 20e6


def resident():
    """Resident bytes of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def opened_interpreters(monkeypatch, failures=()):
    """A list of the interpreters that are opened from now on; attempts in `failures` fail."""
    opened, attempts = [], itertools.count()

    def open_one(*args, **options):
        if next(attempts) in failures:
            raise export.BundleError("no memory")
        opened.append(open_interpreter(*args, **options))
        return opened[-1]

    monkeypatch.setattr("seq2lite.export.runtime.interpreter.open_interpreter", open_one)
    return opened


def test_no_call_opens_another_interpreter(bundle, monkeypatch):
    opened = opened_interpreters(monkeypatch)
    runner = export.load(bundle)
    for texts in (TEXTS[:1], TEXTS[:4], TEXTS[2:3], TEXTS[:1] * 5):
        runner.generate(texts)
    assert len(opened) == 1


def test_all_tensors_of_an_interpreter_keep_memory_of_their_own(bundle, monkeypatch):
    """XNNPACK can return wrong rows otherwise; seen in one of three beam searches of a Transformer."""
    given = []
    monkeypatch.setattr(
        "seq2lite.export.runtime.interpreter.open_interpreter",
        lambda *args, **options: given.append(options) or open_interpreter(*args, **options),
    )
    export.load(bundle).generate(TEXTS[:1])
    assert [options["experimental_preserve_all_tensors"] for options in given] == [True]


def test_a_call_after_a_failed_opening_opens_again(bundle, monkeypatch):
    opened = opened_interpreters(monkeypatch, failures=[1])
    runner = export.load(bundle)
    copied = pickle.loads(pickle.dumps(runner))
    with pytest.raises(export.BundleError, match="no memory"):
        copied.generate(TEXTS)
    assert copied.generate(TEXTS) == runner.generate(TEXTS)
    assert len(opened) == 2


def test_a_threading_server_answers_as_one_thread(runner):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(runner.generate(texts)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"

    def ask(texts):
        with urllib.request.urlopen(address, json.dumps(texts).encode(), timeout=60) as answer:
            return json.loads(answer.read())

    asked = [TEXTS[i % 5 : i % 5 + 1 + i % 2] for i in range(40)]
    try:
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            assert list(pool.map(ask, asked)) == [runner.generate(texts) for texts in asked]
    finally:
        server.shutdown()
        server.server_close()


def test_a_copied_runner_has_an_interpreter_of_its_own(runner):
    for other in (pickle.loads(pickle.dumps(runner)), copy.deepcopy(runner)):
        assert other.engine.file.interpreter is not runner.engine.file.interpreter
        assert [call(other, seed) for seed in range(5)] == [call(runner, seed) for seed in range(5)]


def answer(runner, queue):
    queue.put([call(runner, seed) for seed in range(5)])


@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_forked_process_can_use_a_runner(bundle, num_threads):
    """Also while another thread uses it, whose lock is never released in the forked process."""
    runner = export.load(bundle, num_threads=num_threads)
    expected = [call(runner, seed) for seed in range(5)]
    context = multiprocessing.get_context("fork")
    has_ended = threading.Event()

    def work():
        while not has_ended.is_set():
            runner.generate(TEXTS * 4)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(3):
            queue = context.Queue()
            process = context.Process(target=answer, args=(runner, queue), daemon=True)
            process.start()
            try:
                assert queue.get(timeout=60) == expected
            finally:
                process.kill()
    finally:
        has_ended.set()
        thread.join()


def test_a_forked_process_reads_a_file_whose_lock_its_parent_held(bundle):
    file = export.load(bundle).engine.file
    context = multiprocessing.get_context("fork")
    queue = context.Queue()

    def read():
        assert file.interpreter is not None
        queue.put((set(file.inputs("encode")), set(file.outputs("decode_step"))))

    expected = set(file.inputs("encode")), set(file.outputs("decode_step"))
    process = context.Process(target=read, daemon=True)
    with file._session.lock:
        process.start()
    try:
        assert queue.get(timeout=60) == expected
    finally:
        process.kill()


SPAWN = """
import multiprocessing, sys
from seq2lite import export

if __name__ == "__main__":
    runner = export.load(sys.argv[1])
    expected = runner.generate(["Open File"])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(runner.generate, (["Open File"],)) == expected
"""


def test_a_spawned_process_can_use_a_runner(bundle, tmp_path):
    (tmp_path / "program.py").write_text(SPAWN)
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py", bundle],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
