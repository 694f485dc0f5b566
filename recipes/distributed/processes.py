"""One recipe on several processes, of one host or of many, or on several devices of one host.

Under JAX several processes train one model: each computes its rows of every batch, and Keras's
`DataParallel` sums up what they give. The command is the same for all; three variables of Keras's own
say who takes part (docs/distributed.md). Process 0 alone reads and writes the run's folder, scores and
decides, so that the others need no disk in common with it. Under TensorFlow the devices of one host
share each batch by `MirroredStrategy`. With one device none of this does anything.
"""

import contextlib
import ctypes
import functools
import itertools
import json
import math
import os
import signal
import sys
import traceback

import keras
import numpy as np

from . import handover, mirrored
from .precision import choose_precision, precision

IS_JAX = keras.backend.backend() == "jax"


# Without XLA, JAX would compute op by op. TensorFlow has graphs of any shape; XLA would compile each.
JIT_COMPILE = IS_JAX


_ADDRESS = "KERAS_DISTRIBUTION_JOB_ADDRESSES"


_NUM_PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"


_PROCESS = "KERAS_DISTRIBUTION_PROCESS_ID"


# Rows of a batch are a multiple of it, so that 1, 2, 4 or 8 devices train on the very same batches and
# a run may go on with more or fewer of them.
_ROWS = 8


_FOREVER = 7 * 24 * 3600 * 1000  # milliseconds


_LOST = (
    "error: another process of this run has ended, or could not be reached. The same command on each "
    "host goes on from the last checkpoint"
)


_is_command = False  # whether this process runs a recipe's command line


_turns = itertools.count()


class TrainingEnded(Exception):
    """This process has no part in what follows the training, which had these `run_options`."""


@contextlib.contextmanager
def run(command):
    """The run of a recipe's command line, in each process that takes part in it.

    Args:
        command: List of str, the command line after `python`.

    Raises:
        ValueError: The variables that say who takes part do not fit.
    """
    global _is_command
    if IS_JAX:
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")  # makes batches alone, and would take its memory
    _join()
    _is_command = True
    try:
        with contextlib.ExitStack() as stack:
            if not is_first():
                index, count = shard()
                print(f"process {index} of {count}; process 0 says what happens", flush=True)
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(contextlib.redirect_stdout(nowhere))
            yield
    except TrainingEnded as ended:
        _export(command, *ended.args)
    except BaseException as error:
        if shard()[1] == 1:
            raise
        _give_up(error)


def shard():
    """(number of this process, number of processes)."""
    if not IS_JAX:
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def is_first():
    """Whether this is the process that reads and writes."""
    return shard()[0] == 0


def batch_options():
    """What lets all devices share a batch: arguments of `Batches`, by name."""
    if trained := handover.received():
        return {name: trained[name] for name in ("few_shapes", "rows_multiple")}
    if IS_JAX:
        return {"few_shapes": True, "rows_multiple": math.lcm(_ROWS, _num_devices())}
    return {"rows_multiple": _num_devices()} if _num_devices() > 1 else {}


def run_options(precision):
    """What hangs on this machine and backend; recorded with the run, which goes on with that alone.

    But for the number of processes, which the weights do not hang on.

    Args:
        precision: One of PRECISIONS; recorded is what `auto` stands for here.

    Returns:
        dict, by name.
    """
    if trained := handover.received():
        return trained
    where = {"backend": "jax", "processes": shard()[1]} if IS_JAX else {}
    return where | batch_options() | {"precision": choose_precision(precision)}


def is_trained():
    """Whether a process under JAX has done the training, and this one exports."""
    return handover.received() is not None


def leave_after_training(precision):
    """Ends this process's part where it trains under JAX: exporting takes TensorFlow.

    Args:
        precision: That of the training, as `run_options` takes it.

    Raises:
        TrainingEnded: `run` goes on from there.
    """
    if IS_JAX and _is_command:
        raise TrainingEnded(run_options(precision))


@contextlib.contextmanager
def scope():
    """All devices, for what is built, compiled and fitted in it."""
    if _num_devices() == 1:
        yield
    elif IS_JAX:
        with _data_parallel().scope():
            yield
    else:
        with mirrored.strategy().scope():
            yield


@contextlib.contextmanager
def local():
    """Under JAX, this process's first device alone, for what is built and called in it."""
    if not IS_JAX:
        yield
        return
    everywhere = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(everywhere)


def distributed(model):
    """A model with the same variables on all devices; with one device, `model` itself."""
    if _num_devices() == 1:
        return model
    with precision(model.dtype_policy.name), scope():
        everywhere = type(model).from_config(model.get_config())
    for ours, theirs in zip(everywhere.variables, model.variables, strict=True):
        ours.assign(np.array(theirs))
    return everywhere


def from_first(function):
    """What `function` gives in process 0, where alone it is called; made of what JSON knows."""
    if shard()[1] == 1:
        return function()
    key = f"seq2lite/{next(_turns)}"
    client = _client()
    if is_first():
        value = json.dumps(function())
        client.key_value_set(key, value)
    else:
        value = client.blocking_key_value_get(key, _FOREVER)
    return json.loads(value)


def broadcast(arrays):
    """The arrays of process 0, in every process.

    Args:
        arrays: dict of arrays; of the same shapes everywhere, whatever they hold.
    """
    if shard()[1] == 1:
        return arrays
    from jax.experimental import multihost_utils

    return multihost_utils.broadcast_one_to_all(arrays)


def require_same(**values):
    """Raises ValueError in a process whose values are not those of process 0."""
    expected = from_first(lambda: values)
    for name, value in values.items():
        if value != expected[name]:
            raise ValueError(
                f"`{name}` must be {expected[name]} as in process 0: options and data must be the same "
                f"on all hosts. Received: {value}"
            )


def require_able(training):
    """Raises ValueError where this backend, or these devices, cannot train and export.

    Args:
        training: A `Training`.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow" and not (IS_JAX and _is_command):
        raise ValueError(
            "`KERAS_BACKEND` must be tensorflow, or jax for the command line of a recipe: exporting "
            f"takes TensorFlow. Received: {backend}"
        )
    # Under JAX each process accumulates; the one that exports does not train.
    if training.accumulate > 1 and not IS_JAX and not is_trained() and _num_devices() > 1:
        raise ValueError(
            f"`accumulate` must be 1 on several devices. Received: {training.accumulate}"
        )


def _join():
    """Meets the other processes, if any are spoken of."""
    number = {name: os.environ.get(name, "") for name in (_NUM_PROCESSES, _PROCESS)}
    if not any(number.values()) and _ADDRESS not in os.environ:
        return
    count, index = (int(v) if v.isdecimal() else -1 for v in number.values())
    if not (0 <= index < count and os.environ.get(_ADDRESS)):
        raise ValueError(
            f"`{_NUM_PROCESSES}` must be a number, `{_PROCESS}` one from 0 to it, and `{_ADDRESS}` "
            f"the address of process 0, as in 10.0.0.1:4000. Received: {number[_NUM_PROCESSES]!r}, "
            f"{number[_PROCESS]!r} and {os.environ.get(_ADDRESS, '')!r}"
        )
    if not IS_JAX:
        raise ValueError(
            "`KERAS_BACKEND` must be jax for several processes. "
            f"Received: {keras.backend.backend()}"
        )
    if count == 1:
        return
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # SIGTERM ends a process, as ever: its checkpoints are enough.
    jax.config.update("jax_enable_preemption_service", False)
    _explain_abort()
    keras.distribution.initialize()


def _export(command, options):
    """Ends this process's part; process 0 becomes the one that exports, under TensorFlow."""
    was_first = is_first()
    if shard()[1] > 1:
        import jax

        jax.distributed.shutdown()
    if was_first:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in (_ADDRESS, _NUM_PROCESSES, _PROCESS)
        }
        environment |= handover.environment(options)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *command], environment)


def _give_up(error):
    """Ends this process at once: at a proper end JAX would wait for the others."""
    import jax

    if isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error):
        print(_LOST, file=sys.stderr)
    elif isinstance(error, KeyboardInterrupt):
        print("stopped; the same commands go on from the last checkpoint", file=sys.stderr)
    elif isinstance(error, (ValueError, OSError)):
        print(f"error: {error}", file=sys.stderr)
    elif not isinstance(error, SystemExit):
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(130 if isinstance(error, KeyboardInterrupt) else 1)


def _explain_abort():
    """Makes JAX's abort, as it loses sight of the other processes, end with a sentence."""

    @ctypes.CFUNCTYPE(None, ctypes.c_int)
    def explain(_):
        os.write(2, f"{_LOST}\n".encode())
        os._exit(1)

    # Python's own handlers run between two of its instructions, and `abort` comes from another thread.
    ctypes.CDLL(None).signal(signal.SIGABRT, explain)
    _explain_abort.kept = explain


def _client():
    from jax._src import distributed as jax_distributed

    return jax_distributed.global_state.client


@functools.cache
def _num_devices():
    if IS_JAX:
        return len(keras.distribution.list_devices())
    if keras.backend.backend() == "tensorflow":
        return len(mirrored.devices())
    return 1


@functools.cache
def _data_parallel():
    # Each process makes its rows itself, so there is nothing to shard.
    return keras.distribution.DataParallel(
        devices=keras.distribution.list_devices(), auto_shard_dataset=False
    )
