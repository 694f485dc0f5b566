"""A run's folder: made once, gone on with after a stop, never overwritten unasked."""

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path

BACKUP = "backup"  # folder, in that of the run, of what a stopped training goes on from


@contextlib.contextmanager
def open_run(config):
    """The folder of a run, for the time of the run.

    Args:
        config: The recipe's Config, with `output` and `overwrite`.

    Yields:
        The folder's path. A run that was stopped finds what it had left there.

    Raises:
        ValueError: The folder holds something else: a finished run, a run of other options, or
            files of another origin; nothing is touched.
    """
    folder = Path(config.output)
    options = {k: v for k, v in dataclasses.asdict(config).items() if k != "overwrite"}
    options = json.loads(json.dumps(options))
    record, done = folder / "config.json", folder / "done"
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`output` must be a folder. Received: {folder}, which is a file")
    if folder.is_dir() and any(folder.iterdir()):
        if not record.is_file():
            raise ValueError(
                f"`output` must be a new folder, or one of an earlier run. Received: {folder}"
            )
        if config.overwrite:
            shutil.rmtree(folder)
        else:
            _require_same_run(folder, options, record, done)
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(options, ensure_ascii=False, indent=1) + "\n", "utf-8")
    try:
        yield folder
    except BaseException:
        # What failed before it made anything, by a wrong option say, leaves nothing to go on with.
        if list(folder.iterdir()) == [record]:
            record.unlink()
            for path in created:
                path.rmdir()
        raise
    shutil.rmtree(folder / BACKUP, ignore_errors=True)
    done.touch()


def _require_same_run(folder, options, record, done):
    if done.exists():
        raise ValueError(
            f"{folder} holds a finished run. Give another --output, or --overwrite to replace it"
        )
    try:
        earlier = json.loads(record.read_text("utf-8"))
    except ValueError:
        earlier = {}
    differing = [
        f"{name}={options.get(name)!r} (there: {earlier.get(name)!r})"
        for name in sorted({*options, *earlier})
        if options.get(name) != earlier.get(name)
    ]
    if differing:
        raise ValueError(
            f"{folder} holds a run of other options. Give the same ones to go on with it, another "
            f"--output, or --overwrite. Received: {', '.join(differing)}"
        )
