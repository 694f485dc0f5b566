"""The folder of a run: created once, resumed after a stop, never overwritten unless requested."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from seq2lite.export.quantization.modes import QUANTIZATIONS
from seq2lite.export.system.atomic import write_text

from ..distributed import processes
from ..distributed.backend import can_export
from ..training import checkpoints
from ..training.artifacts import EXPORT, MODEL, RECORD, TARGET_TOKENIZER, TOKENIZER
from .command_line import export_command
from .record import DONE, Run

LOCK = ".lock"
DISTILLED = "distilled"  # folder of a teacher's outputs

# Everything that a run writes, and that `overwrite` removes.
_FILES = {RECORD, DONE, checkpoints.FOLDER, DISTILLED, "tensorboard", *QUANTIZATIONS}
_FILES |= {TOKENIZER, TARGET_TOKENIZER, MODEL, EXPORT}
_FILES |= {"report.md", "curves.png", "history.json", "scores.json"}


def check_folder(run: Run) -> None:
    """Raise ValueError unless a run may use its folder; change nothing on the disk.

    Args:
        run: The `Run`.
    """
    config, folder = run.config, run.folder
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`output` must be a folder. Received: {folder}, which is a file")
    if config.training.finish and not any((folder / checkpoints.FOLDER).glob(checkpoints.FILES)):
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
    if not folder.is_dir() or _is_empty(folder):
        return
    cwd = Path.cwd()
    if not (folder / RECORD).is_file() or folder.resolve() in (cwd, *cwd.parents):
        raise _other_files(folder)
    if config.training.finish or not config.run.overwrite:
        _require_resumable(run)
    elif not run.is_resumable:
        _require_only_run(folder)
    if (folder / LOCK).exists():
        with _locked(folder):
            pass


@contextlib.contextmanager
def open_run(run: Run) -> Iterator[Path]:
    """Open the run folder, locked, for the time of a `with`; create, resume or replace it.

    At the end of the `with` the run is marked as finished and its checkpoints are removed. Under
    a backend that cannot export, both remain, and the command that exports the run is printed.

    Args:
        run: The `Run`, from `prepare_run`.

    Yields:
        The path of the folder. A stopped run finds its files there.

    Raises:
        ValueError: Another process uses the folder, or has written to it since `prepare_run`.
    """
    folder = run.folder
    if not processes.is_first():
        yield folder  # of process 0
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if not run.is_current:
            raise ValueError(
                "`output` must not change while this command prepares its data. Received: "
                f"{folder}, where another run has been started or finished since. Give another "
                "--output, or look at it and give the command again"
            )
        if not (folder / RECORD).is_file():
            if not _is_empty(folder):  # files of another program, written since `prepare_run`
                raise _other_files(folder)
        elif not run.is_resumable:
            _require_only_run(folder)
            _remove_run(folder)  # `prepare_run` has checked `overwrite`
        write_text(folder / RECORD, json.dumps(run.record, ensure_ascii=False, indent=1) + "\n")
        yield folder
        if can_export():
            (folder / DONE).touch()
            _remove_checkpoints(folder)
            (folder / LOCK).unlink(missing_ok=True)
        else:
            print(f"trained; to export and score: {export_command(run.config)}", flush=True)


def _is_empty(folder):
    """Return whether a folder contains nothing that a new run could overwrite."""
    return all(_is_ignored(path.name) for path in folder.iterdir())


def _other_files(folder):
    """Return the error for a folder whose files are not those of a run."""
    return ValueError(
        f"`output` must be a new folder, or one of an earlier run. Received: {folder}, which "
        "contains other files"
    )


def _require_resumable(run):
    """Raise ValueError if the folder contains a finished run, or one with other options."""
    if run.is_finished:
        raise ValueError(
            f"{run.folder} contains a finished run. Give another --output, or --overwrite to "
            "replace it"
        )
    changes = [
        f"{name}={run.record.get(name)!r} (recorded: {run.earlier.get(name)!r})"
        for name in run.changes
    ]
    if changes:
        raise ValueError(
            f"{run.folder} contains a run with other options. Give the same options to resume it, "
            f"another --output, or --overwrite. Received: {', '.join(changes)}"
        )


def _require_only_run(folder):
    """Raise ValueError if the folder contains more than a run, as only a run may be replaced."""
    names = {path.name for path in folder.iterdir()} - _FILES
    others = sorted(name for name in names if not (_is_ignored(name) or _is_partial(name)))
    others += [f"{checkpoints.FOLDER}/{path.name}" for path in _not_checkpoints(folder)]
    if others:
        raise ValueError(
            "`output` must contain nothing but the run that --overwrite replaces. Received: "
            f"{folder}, which contains {', '.join(others)}"
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
