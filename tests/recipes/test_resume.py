"""A killed training goes on to the very weights of one that was not."""

import multiprocessing
import os
import random
import signal
import time

import killed_training
import numpy as np
import pytest
from killed_training import run

pytestmark = pytest.mark.long

# How often each family's training is killed: `make resume` says 20.
NUM_KILLS = int(os.environ.get("SEQ2LITE_KILLS", "2"))


@pytest.fixture(scope="module")
def processes():
    """Forks of one process that has imported all: a training begins at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_training"])
    return context


def start(processes, family, folder, tokenizer):
    folder.mkdir(exist_ok=True)
    process = processes.Process(target=run, args=(family, folder, tokenizer.model_bytes))
    process.start()
    return process


def finish(process, seconds=240):
    process.join(seconds)
    assert process.exitcode == 0


def result_of(folder):
    with np.load(folder / "result.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.mark.parametrize("family", list(killed_training.MODELS))
def test_a_training_killed_at_random_ends_with_the_weights_of_one_that_was_not(
    family, tokenizer, tmp_path, processes
):
    begin = time.perf_counter()
    finish(start(processes, family, tmp_path / "whole", tokenizer))
    duration = time.perf_counter() - begin
    expected = result_of(tmp_path / "whole")
    chance = random.Random(3)
    num_kills = num_late = 0
    broken = tmp_path / "broken"
    while num_kills < NUM_KILLS or not num_late:  # one that has a checkpoint to go on from
        process = start(processes, family, broken, tokenizer)
        process.join(chance.uniform(0.2, 1.0) * duration)
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            num_kills += 1
            num_late += any((broken / "checkpoints").glob("round-*.npz"))
        else:  # it was too quick for us: the next one is another training
            assert process.exitcode == 0
            assert_equal(result_of(broken), expected)
            broken = tmp_path / f"broken after {num_kills}"
    finish(start(processes, family, broken, tokenizer))
    assert_equal(result_of(broken), expected)


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
