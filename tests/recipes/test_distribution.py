"""Several processes on loopback train like one, end together and resume together."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from seq2lite import export
from seq2lite.recipes.data.batches import Batches
from seq2lite.recipes.distributed import processes
from seq2lite.recipes.distributed.data_service import require_reachable, serve

pytestmark = pytest.mark.long
WORKER = Path(__file__).with_name("distributed_worker.py")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Folder in which processes find what others have compiled."""
    return tmp_path_factory.mktemp("compiled")


def environment(compiled, **more):
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("KERAS_")},
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "jax",
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        **more,
    }


@contextlib.contextmanager
def workers(count, compiled, *arguments, command=(WORKER,), of_process=((), ()), **more):
    """Start the processes of the worker on loopback; none outlives the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes = []
    for index in range(count):
        meeting = {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
            "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
            "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, *map(str, (*command, *arguments, *of_process[index]))],
                env=environment(compiled, **(meeting if count > 1 else {}), **more),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def train(count, compiled, *arguments, **more):
    """Run the processes and return their outputs."""
    with workers(count, compiled, *arguments, **more) as processes:
        printed = [process.communicate(timeout=240) for process in processes]
        assert [process.returncode for process in processes] == [0] * count, printed
    return [output for output, _ in printed]


def state(folder):
    """All arrays of the newest checkpoint."""
    with np.load(max((folder / "checkpoints").glob("*.npz"))) as arrays:
        return {name: arrays[name] for name in arrays if name != "metadata"}


def require_close(found, expected):
    """Assert that weights and moments are equal up to rounding."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # The gradient of a bias of attention's keys is only rounding, but Adam's steps are not small.
        tolerance = 1e-3 if value.ndim == 1 and name.startswith("model/") else 1e-5
        np.testing.assert_allclose(found[name], value, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("family", ["transformer", "rnn"])
def test_two_processes_make_the_update_of_one_with_the_joint_batch(family, compiled, tmp_path):
    """With dropout: each row of a batch has the same random numbers in any process."""
    (alone,) = train(1, compiled, family, tmp_path / "one", "epochs=1")
    first, second = train(2, compiled, family, tmp_path / "two", "epochs=1")
    losses = [re.findall(r"loss \d+\.\d+", output) for output in (alone, first)]
    assert len(losses[0]) == 2 and losses[0] == losses[1]
    # `fit` returns the model of the checkpoint in every process.
    saved = [value for name, value in state(tmp_path / "two").items() if name.startswith("model/")]
    for index in (0, 1):
        with np.load(tmp_path / "two" / f"result-{index}.npz") as result:
            for found, expected in zip(result.values(), saved, strict=True):
                np.testing.assert_array_equal(found, expected)
    assert second.splitlines()[-1] == "process 1 of 2; see the output of process 0"
    require_close(state(tmp_path / "two"), state(tmp_path / "one"))


@pytest.mark.parametrize("family", ["transformer", "rnn"])
def test_replicas_of_one_host_make_the_update_of_one_device_with_the_joint_batch(family, tmp_path):
    """Although their numbers of tokens differ and the joint gradient is clipped."""
    for devices in (1, 2):
        done = subprocess.run(
            [sys.executable, WORKER, family, tmp_path / str(devices), "epochs=1", "dropout=0.0"],
            env=environment(tmp_path, KERAS_BACKEND="tensorflow", CPU_DEVICES=str(devices)),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    require_close(state(tmp_path / "2"), state(tmp_path / "1"))


@pytest.mark.parametrize("num_services", [1, 2])
def test_a_data_service_gives_the_same_batches_in_the_same_order(num_services, tokenizer, pairs):
    services = [serve() for _ in range(num_services)]
    batches = Batches(pairs, tokenizer, max_length=20, batch_tokens=256, seed=3, rows_multiple=2)
    addresses = ",".join(address for address, _ in services)
    for first, shard in ((0, (0, 1)), (3, (1, 2))):
        here = batches.dataset(first, 9, shard)
        there = batches.dataset(first, 9, shard, addresses)
        for ours, theirs in zip(here, there, strict=True):
            tf.nest.map_structure(np.testing.assert_array_equal, theirs, ours)


def test_a_data_service_that_does_not_respond_is_named():
    address, running = serve()
    require_reachable(address)
    with socket.socket() as other:
        other.bind(("localhost", 0))  # and does not listen
        missing = f"grpc://localhost:{other.getsockname()[1]}"
        with pytest.raises(OSError, match=f"`data_service` must be running at {missing} "):
            require_reachable(f"{address},{missing}")
    with pytest.raises(ValueError, match=r"like grpc://10.0.0.3:5000. Received: 10.0.0.3:5000"):
        require_reachable("10.0.0.3:5000")
    del running


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}, "must be a number"),
        (
            {
                "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
                "KERAS_DISTRIBUTION_PROCESS_ID": "2",
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:4000",
            },
            "Received: '2', '2' and '10.0.0.1:4000'",
        ),
        (
            {
                "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
                "KERAS_DISTRIBUTION_PROCESS_ID": "1",
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:4000",
            },
            "`KERAS_BACKEND` must be jax for several processes. Received: tensorflow",
        ),
    ],
)
def test_contradicting_environment_variables_are_named(variables, message, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=re.escape(message)), processes.joined_processes():
        pass


@pytest.fixture
def a_recipe(tmp_path, pairs):
    """The command of a recipe, and an output folder for each process."""
    data = tmp_path / "data.tsv"
    data.write_text("".join(f"{a}\t{b}\n" for a, b in pairs), "utf-8")
    command = ["-m", "seq2lite.recipes.translate", "--train", data, "--preset", "rnn_tiny"]
    command += ["--max-length", 8, "--vocabulary-size", 900, "--batch-tokens", 512, "--epochs", 1]
    command += ["--quantizations", "int8", "--num-beams", 1, "--score-pairs", 0]
    return command, [("--output", tmp_path / name) for name in ("first", "second")]


def test_a_recipes_command_in_two_processes_ends_with_a_bundle(a_recipe, compiled, tmp_path):
    command, outputs = a_recipe
    with workers(2, compiled, command=command, of_process=outputs) as processes:
        printed = [process.communicate(timeout=400) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    assert len(export.load(tmp_path / "first" / "int8").generate(["Open"])) == 1
    report = (tmp_path / "first" / "report.md").read_text("utf-8")
    assert "\nKERAS_BACKEND=jax seq2lite translate " in report
    assert '| backend | "jax" |' in report
    assert "| processes | 2 |" in report
    assert not (tmp_path / "second").exists()


def test_a_process_with_other_options_ends_the_run_and_names_them(a_recipe, compiled, tmp_path):
    command, outputs = a_recipe
    outputs[1] = (*outputs[1], "--seed", 2)
    with workers(2, compiled, command=command, of_process=outputs) as processes:
        errors = [process.communicate(timeout=200)[1] for process in processes]
    assert [process.returncode for process in processes] == [1, 1], errors
    assert "error: `seed` must be 1, as in process 0" in errors[1]
    assert errors[1].count("Received: 2")
    assert "error: another process of this run has ended" in errors[0]


KILLED = ("transformer", "epochs=6", "checkpoint_steps=2", "ema=0.9", "average=2")


@pytest.fixture(scope="module")
def unbroken(compiled, tmp_path_factory):
    """The state of two processes after the training."""
    folder = tmp_path_factory.mktemp("unbroken")
    train(2, compiled, KILLED[0], folder, *KILLED[1:])
    return state(folder)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_lost_process_ends_the_run_which_resumes_exactly(victim, unbroken, compiled, tmp_path):
    with workers(2, compiled, KILLED[0], tmp_path, *KILLED[1:]) as processes:
        deadline = time.monotonic() + 200
        while not (tmp_path / "checkpoints" / "checkpoint-000002.npz").exists():
            assert time.monotonic() < deadline and processes[0].poll() is None
            time.sleep(0.01)
        processes[victim].send_signal(signal.SIGKILL)
        _, errors = processes[1 - victim].communicate(timeout=60)
    assert processes[1 - victim].returncode == 1
    # JAX's own threads may print more after it.
    assert re.search(r"^error: another process of this run has ended", errors, re.MULTILINE), errors
    first, _ = train(2, compiled, KILLED[0], tmp_path, *KILLED[1:])
    assert re.search(r"^resumes after evaluation \d+ of 9$", first, re.MULTILINE), first
    resumed = state(tmp_path)
    assert resumed.keys() == unbroken.keys()
    for name, value in unbroken.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)
