"""A killed run resumes and ends with exactly the weights of an unbroken one."""

import itertools
import multiprocessing
import os
import random
import signal
import time

import killed_training
import numpy as np
import pytest
from killed_training import result_of, run

pytestmark = pytest.mark.long

# How often each family's run is killed; `make resume` sets 20.
NUM_KILLS = int(os.environ.get("SEQ2LITE_KILLS", "2"))


@pytest.fixture(scope="module")
def processes():
    """Forks of one process that has imported everything, so that a run begins at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_training"])
    return context


def finish(process, seconds=240):
    process.join(seconds)
    assert process.exitcode == 0


@pytest.mark.parametrize("preset", list(killed_training.SIZES))
def test_a_run_killed_at_random_ends_with_the_weights_of_an_unbroken_one(
    preset, pairs, tmp_path, processes
):
    data = tmp_path / "data.tsv"
    data.write_text("".join(f"{a}\t{b}\n" for a, b in pairs[:120]), "utf-8")

    def start(folder):
        process = processes.Process(target=run, args=(preset, folder, data))
        process.start()
        return process

    begin = time.perf_counter()
    finish(start(tmp_path / "unbroken"))
    duration = time.perf_counter() - begin
    expected = result_of(tmp_path / "unbroken")
    chance = random.Random(3)
    num_kills = num_late = 0
    numbers = itertools.count()
    broken = tmp_path / f"broken {next(numbers)}"
    while num_kills < NUM_KILLS or not num_late:  # at least one with a checkpoint
        process = start(broken)
        process.join(chance.uniform(0, 1) * duration)
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            num_kills += 1
            num_late += any((broken / "checkpoints").glob("checkpoint-*.npz"))
        else:  # it ended before the kill: the next one is another run
            assert process.exitcode == 0
            assert_equal(result_of(broken), expected)
            broken = tmp_path / f"broken {next(numbers)}"
    finish(start(broken))
    assert_equal(result_of(broken), expected)


def assert_equal(found, expected):
    for array, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, other)
