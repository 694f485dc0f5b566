"""Preparation of a run: the check, before any work, that it can start."""

import keras

from ..distributed import processes
from ..distributed.backend import IS_JAX, can_export
from ..distributed.data_service import require_reachable
from ..distributed.devices import num_devices
from .folder import check_folder
from .record import ConfigT, Run, describe_run


def prepare_run(config: ConfigT) -> Run[ConfigT]:
    """Check, before any work, that a run can start; change nothing on the disk.

    Args:
        config: The recipe's Config.

    Returns:
        The `Run`. Its Config has automatic options resolved for this machine.

    Raises:
        ValueError: The folder is unsuitable: it contains a finished run, a run with other options
            or data, a run in progress, input files of this run, or other files. Also raised if the
            backend or the devices cannot train with these options, or if another process of the
            run has different options.
        OSError: The data service does not respond.
    """
    training = config.training
    if not (can_export() or IS_JAX):
        backend = keras.backend.backend()
        raise ValueError(f"`KERAS_BACKEND` must be tensorflow or jax. Received: {backend}")
    # Under JAX each process accumulates by itself.
    if training.accumulate > 1 and not (IS_JAX or training.finish) and num_devices() > 1:
        raise ValueError(
            f"`accumulate` must be 1 on several devices. Received: {training.accumulate}"
        )
    if training.data_service and not training.finish:
        require_reachable(training.data_service)
    run = describe_run(config)
    processes.require_same(**run.shared_options)
    if processes.is_first():
        check_folder(run)
        if base := run.config.base:
            source, target = run.config.data.max_lengths
            print(
                f"initial weights: {base.path} ({run.config.model.preset}); "
                f"at most {source} source and {target} target tokens",
                flush=True,
            )
    return run
