"""A run's folder: made once, gone on with after a stop, never overwritten unasked."""

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path

from ..export.whole import write_whole

RECORD = "seq2lite-run.json"  # the run's options; by it a folder is known as a run's
BACKUP = "backup"  # folder, in that of the run, of what a stopped training goes on from


def check_run_folder(config):
    """Raises ValueError, before work begins, unless the run may have its folder.

    Args:
        config: The recipe's Config, with `output` and `overwrite`.

    Raises:
        ValueError: The folder holds something else: a finished run, a run of other options, or
            files of another origin; nothing is touched.
    """
    folder = Path(config.output)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`output` must be a folder. Received: {folder}, which is a file")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    here = Path.cwd()
    if not (folder / RECORD).is_file() or folder.resolve() in (here, *here.parents):
        raise ValueError(
            f"`output` must be a new folder, or one of an earlier run. Received: {folder}"
        )
    if not config.overwrite:
        _require_same_run(folder, _options(config))


@contextlib.contextmanager
def open_run(config):
    """The folder of a run that `check_run_folder` allows, for the time of the run.

    Args:
        config: The recipe's Config.

    Yields:
        The folder's path. A run that was stopped finds what it had left there.
    """
    check_run_folder(config)
    folder = Path(config.output)
    if config.overwrite and (folder / RECORD).is_file():
        shutil.rmtree(folder)
    if not (folder / RECORD).is_file():
        text = json.dumps(_options(config), ensure_ascii=False, indent=1) + "\n"
        write_whole(folder / RECORD, lambda partial: partial.write_text(text, "utf-8"))
    yield folder
    shutil.rmtree(folder / BACKUP, ignore_errors=True)
    (folder / "done").touch()


def _options(config):
    options = {k: v for k, v in dataclasses.asdict(config).items() if k != "overwrite"}
    return json.loads(json.dumps(options))


def _require_same_run(folder, options):
    if (folder / "done").exists():
        raise ValueError(
            f"{folder} holds a finished run. Give another --output, or --overwrite to replace it"
        )
    try:
        earlier = json.loads((folder / RECORD).read_text("utf-8"))
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
