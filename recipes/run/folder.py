"""The folder of a run: created once, resumed after a stop, never overwritten unless requested."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import keras
from filelock import FileLock, Timeout

from seq2lite.export.quantization.modes import QUANTIZATIONS
from seq2lite.export.system.atomic import write_atomically

from ..distributed import processes
from ..distributed.backend import IS_JAX, can_export
from ..distributed.data_service import require_reachable
from ..distributed.devices import num_devices
from ..training import checkpoints
from ..training.fit import TARGET_TOKENIZER, TOKENIZER
from .config import RecipeConfig
from .record import RECORD, differing, make_record, read_record, resolve, shared_options

DONE = "done"
LOCK = ".lock"
DISTILLED = "distilled"  # folder of a teacher's outputs

# Everything that a run writes, and that `overwrite` removes.
_FILES = {RECORD, checkpoints.FOLDER, DONE, DISTILLED, "tensorboard", TOKENIZER, TARGET_TOKENIZER}
_FILES |= {"model.keras", "report.md", "curves.png", "history.json", "scores.json", *QUANTIZATIONS}


def prepare_run(config: RecipeConfig) -> RecipeConfig:
    """Check, before any work, that a run can start; change nothing on the disk.

    Args:
        config: The recipe's Config.

    Returns:
        The Config with automatic options resolved for this machine.

    Raises:
        ValueError: The folder is unsuitable: it contains a finished run, a run with other options
            or data, a run in progress, input files of this run, or other files. Or the backend or
            the devices cannot train with these options.
        OSError: The data service does not respond.
    """
    config = resolve(config)
    training, folder = config.training, Path(config.run.output)
    _check_backend(training)
    if training.data_service and not training.finish:
        require_reachable(training.data_service)
    if not processes.is_first():
        return config
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`output` must be a folder. Received: {folder}, which is a file")
    if training.finish and not any((folder / checkpoints.FOLDER).glob(checkpoints.FILES)):
        raise ValueError(
            "`finish` must find a checkpoint of an earlier run with the same options. "
            f"Received: {folder}, which has none"
        )
    for path in config.inputs:
        if folder.resolve() in Path(path).resolve().parents:
            raise ValueError(
                f"`output` must not be a folder that the run reads from. Received: {folder}, which "
                f"contains {path}"
            )
    if folder.is_dir() and not all(_is_ignored(path.name) for path in folder.iterdir()):
        _check_existing(folder, config)
    return config


@contextlib.contextmanager
def open_run(config: RecipeConfig) -> Iterator[Path]:
    """Open the run folder, locked, for the time of a `with`; create, resume or replace it.

    At the end of the `with` the run is marked as finished and its checkpoints are removed, unless
    another backend has to export it.

    Args:
        config: The recipe's Config, from `prepare_run`.

    Yields:
        The path of the folder. A stopped run finds its files there.
    """
    config = prepare_run(config)
    folder, record = Path(config.run.output), make_record(config)
    processes.require_same(**shared_options(record))
    if not processes.is_first():
        yield folder  # of process 0
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if (folder / RECORD).is_file() and not _is_resumable(folder, record):
            _remove_run(folder)  # `prepare_run` has checked `overwrite`
        if read_record(folder) != record:
            save_text(folder / RECORD, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
        yield folder
        if can_export():
            (folder / DONE).touch()
            _remove_checkpoints(folder)
            (folder / LOCK).unlink(missing_ok=True)


def differing_options(config: RecipeConfig) -> list[str]:
    """Return the names of options that differ from those of the run in the folder."""
    config = resolve(config)
    return differing(read_record(config.run.output), make_record(config))


def save_text(path: Path, text: str):
    """Write a text file atomically."""
    write_atomically(path, lambda partial: partial.write_text(text, "utf-8"))


def _check_backend(training):
    """Raise ValueError if this backend or these devices cannot train."""
    backend = keras.backend.backend()
    if not (can_export() or IS_JAX):
        raise ValueError(f"`KERAS_BACKEND` must be tensorflow or jax. Received: {backend}")
    # Under JAX each process accumulates by itself.
    if training.accumulate > 1 and not (IS_JAX or training.finish) and num_devices() > 1:
        raise ValueError(
            f"`accumulate` must be 1 on several devices. Received: {training.accumulate}"
        )


def _check_existing(folder, config):
    """Raise ValueError if the run can neither resume nor replace what the folder contains."""
    cwd = Path.cwd()
    if not (folder / RECORD).is_file() or folder.resolve() in (cwd, *cwd.parents):
        raise ValueError(
            f"`output` must be a new folder, or one of an earlier run. Received: {folder}, which "
            "contains other files"
        )
    record = make_record(config)
    if config.training.finish or not config.run.overwrite:
        _require_resumable(folder, record)
    elif not _is_resumable(folder, record):
        _require_only_run(folder)
    if (folder / LOCK).exists():
        with _locked(folder):
            pass


def _require_resumable(folder, record):
    """Raise ValueError if the folder contains a finished run, or one with other options."""
    if (folder / DONE).exists():
        raise ValueError(
            f"{folder} contains a finished run. Give another --output, or --overwrite to replace it"
        )
    earlier = read_record(folder)
    changes = [
        f"{name}={record.get(name)!r} (recorded: {earlier.get(name)!r})"
        for name in differing(earlier, record)
    ]
    if changes:
        raise ValueError(
            f"{folder} contains a run with other options. Give the same options to resume it, "
            f"another --output, or --overwrite. Received: {', '.join(changes)}"
        )


def _is_resumable(folder, record):
    """Return whether the folder contains an unfinished run with these options."""
    return not (folder / DONE).exists() and not differing(read_record(folder), record)


def _require_only_run(folder):
    """Raise ValueError if the folder contains more than a run, as only a run may be replaced."""
    names = {path.name for path in folder.iterdir()} - _FILES
    others = sorted(name for name in names if not (_is_ignored(name) or _is_partial(name)))
    others += [f"{checkpoints.FOLDER}/{path.name}" for path in _not_checkpoints(folder)]
    if others:
        raise ValueError(
            f"`output` must contain only a run to be replaced. Received: {folder}, which contains "
            f"{', '.join(others)}"
        )


def _is_ignored(name):
    """Return whether a file is left by a process killed before its run began, or by the system."""
    return name in (LOCK, ".DS_Store") or name.startswith(f".{RECORD}.partial-")


def _is_partial(name):
    """Return whether a file is left by a process killed while it wrote atomically."""
    return name.startswith(".") and ".partial-" in name


def _not_checkpoints(folder):
    """Return other files in the folder of checkpoints, such as a user's copy of one."""
    paths = sorted((folder / checkpoints.FOLDER).glob("*"))
    return [p for p in paths if not (p.match(checkpoints.FILES) or _is_partial(p.name))]


def _remove_checkpoints(folder):
    """Remove the checkpoints of a run, and their folder if nothing else is in it."""
    if _not_checkpoints(folder):
        for path in (folder / checkpoints.FOLDER).glob(checkpoints.FILES):
            path.unlink()
    else:
        shutil.rmtree(folder / checkpoints.FOLDER, ignore_errors=True)


def _remove_run(folder):
    """Remove a run; its record last, so that the folder is still a run's if the process is killed."""
    for path in folder.iterdir():
        if path.name not in (RECORD, LOCK):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (folder / RECORD).unlink()


@contextlib.contextmanager
def _locked(folder):
    """Lock the folder for this process; the system releases the lock if the process is killed."""
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"`output` must be a folder without a run in progress. Received: {folder}, which "
            "another process uses"
        ) from None
    try:
        yield
    finally:
        lock.release()
