"""Several processes, on one host or on many, that train one model.

Under JAX each process computes its rows of every batch, and Keras's `DataParallel` sums their
gradients up. All processes run the same command. Three environment variables of Keras set the
number of each process (docs/guides/several-machines.md). Process 0 alone reads and writes the run folder,
evaluates and decides, so the processes need no common disk. With one process, nothing here does
anything.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import keras

from .backend import IS_JAX

ADDRESS = "KERAS_DISTRIBUTION_JOB_ADDRESSES"
NUM_PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"
PROCESS_ID = "KERAS_DISTRIBUTION_PROCESS_ID"

_NO_TIMEOUT = 7 * 24 * 3600 * 1000  # milliseconds

_LOST = (
    "error: another process of this run has ended, or could not be reached. Give the same command "
    "on each host to resume from the last checkpoint, if there is one"
)


@contextlib.contextmanager
def joined_processes() -> Iterator[None]:
    """Join the processes of this run, if the environment names any, for the time of a `with`.

    Only process 0 prints. If one process fails, all end.

    Raises:
        ValueError: The environment variables are incomplete or contradict each other.
    """
    if IS_JAX:
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")  # TensorFlow only makes batches
    _join()
    index, count = shard()
    if count == 1:
        yield
        return
    try:
        with contextlib.ExitStack() as stack:
            if index > 0:
                print(f"process {index} of {count}; see the output of process 0", flush=True)
                null = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(contextlib.redirect_stdout(null))
            yield
    except BaseException as error:
        _exit(error)
    import jax

    jax.distributed.shutdown()


def shard() -> tuple[int, int]:
    """Return the number of this process and the number of processes."""
    if not IS_JAX:
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def is_first() -> bool:
    """Return whether this is process 0, which reads and writes the run folder."""
    return shard()[0] == 0


def from_first(function: Callable[[], Any]) -> Any:
    """Call a function in process 0 and return its result in every process.

    Args:
        function: Function without arguments; its result must be serializable as JSON.
    """
    index, count = shard()
    if count == 1:
        return function()
    client = _client()
    # All processes make the same calls in the same order, so the number of a call names its result.
    turn = client.key_value_increment(f"seq2lite/turns/{index}", 1)
    key = f"seq2lite/{turn}"
    if index == 0:
        value = json.dumps(function())
        client.key_value_set(key, value)
    else:
        value = client.blocking_key_value_get(key, _NO_TIMEOUT)
    return json.loads(value)


def broadcast(arrays: dict | list) -> dict | list:
    """Return the arrays of process 0 in every process.

    Args:
        arrays: Dict or list of arrays, with the same shapes and dtypes in every process.
    """
    if shard()[1] == 1:
        return arrays
    from jax.experimental import multihost_utils

    return multihost_utils.broadcast_one_to_all(arrays)


def require_same(**values: Any) -> None:
    """Raise ValueError in a process whose values are not those of process 0."""
    expected = from_first(lambda: values)
    for name, value in values.items():
        if value != expected[name]:
            raise ValueError(
                f"`{name}` must be {expected[name]}, as in process 0: give the same options and "
                f"data on all hosts. Received: {value}"
            )


def _join():
    """Connect to the other processes that the environment names, if any."""
    numbers = {name: os.environ.get(name, "") for name in (NUM_PROCESSES, PROCESS_ID)}
    if not any(numbers.values()) and ADDRESS not in os.environ:
        return
    count, index = (int(v) if v.isdecimal() else -1 for v in numbers.values())
    if not (0 <= index < count and os.environ.get(ADDRESS)):
        raise ValueError(
            f"`{NUM_PROCESSES}` must be a number, `{PROCESS_ID}` a number from 0 to one less, and "
            f"`{ADDRESS}` the address of process 0, such as 10.0.0.1:4000. "
            f"Received: {numbers[NUM_PROCESSES]!r}, {numbers[PROCESS_ID]!r} and "
            f"{os.environ.get(ADDRESS, '')!r}"
        )
    if not IS_JAX:
        raise ValueError(
            f"`KERAS_BACKEND` must be jax for several processes. Received: {keras.backend.backend()}"
        )
    if count == 1:
        return
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # SIGTERM ends a process at once, as usual: its checkpoints suffice to resume.
    jax.config.update("jax_enable_preemption_service", False)
    # JAX aborts when it loses another process. Python's own signal handlers run between two of its
    # instructions, but the abort comes from another thread.
    ctypes.CDLL(None).signal(signal.SIGABRT, _explain_abort)
    keras.distribution.initialize()


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def _explain_abort(_):
    os.write(2, f"{_LOST}\n".encode())
    os._exit(1)


def _exit(error):
    """End this process at once: on a regular exit JAX would wait for the others."""
    import jax

    if isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error):
        print(_LOST, file=sys.stderr)
    elif isinstance(error, KeyboardInterrupt):
        advice = "give the same commands to resume from the last checkpoint, if there is one"
        print(f"stopped; {advice}", file=sys.stderr)
    elif isinstance(error, (ValueError, OSError)):
        print(f"error: {error}", file=sys.stderr)
    elif not isinstance(error, SystemExit):
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(130 if isinstance(error, KeyboardInterrupt) else 1)


def _client():
    from jax._src import distributed as jax_distributed

    return jax_distributed.global_state.client
