"""A run's folder: made once, gone on with after a stop, never overwritten unasked."""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from seq2lite.export.quantization.modes import QUANTIZATIONS
from seq2lite.export.system.atomic import write_atomically

from ..distributed import processes
from ..distributed.data_service import require_reachable
from ..training.checkpoints import FILES
from .model_options import training_of

RECORD = "seq2lite-run.json"  # the run's options; by it a folder is known as a run's


CHECKPOINTS = "checkpoints"  # folder, in that of the run, of what a stopped training goes on from


TOKENIZER = "tokenizer.model"


DONE = "done"


LOCK = ".lock"


DISTILLED = "distilled"  # folder of what a teacher has said


# All that a run writes, and that `overwrite` removes.
OF_A_RUN = {RECORD, CHECKPOINTS, TOKENIZER, DONE, DISTILLED, "tensorboard", "model.keras"}


OF_A_RUN |= {"report.md", "curves.png", "history.json", "scores.json", *QUANTIZATIONS}


_CONTENT = "content of"  # how the names of data files' checksums begin, among the options


# What has no part in the weights, so that a stopped run may go on with others.
FREE = ("overwrite", "finish", "quantizations", "tensorboard", "data_service", "processes")


def check_run_folder(config, inputs=()):
    """Raises ValueError, before work begins, unless the run may have its folder.

    Args:
        config: The recipe's Config, with `output` and `overwrite`.
        inputs: Paths of the data files, whose content is an option too.

    Raises:
        ValueError: The folder holds something else: a finished run, a run of other options or of
            other data, one that another process is at work on, the run's own inputs, or files of
            another origin; nothing is touched. Or this backend, or these devices, cannot do the run.
        OSError: The data service does not answer.
    """
    folder, training = Path(config.output), config.training
    processes.require_able(training)
    if training.data_service and not (training.finish or processes.is_trained()):
        require_reachable(training.data_service)
    if not processes.is_first():
        return
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`output` must be a folder. Received: {folder}, which is a file")
    if training.finish and not any((folder / CHECKPOINTS).glob(FILES)):
        raise ValueError(
            "`finish` must find a round that an earlier run of the same options has ended. "
            f"Received: {folder}, which has none"
        )
    for path in inputs:
        if folder.resolve() in Path(path).resolve().parents:
            raise ValueError(
                f"`output` must not be a folder that the run reads from. Received: {folder}, which "
                f"holds {path}"
            )
    if not folder.is_dir() or all(_is_nothing(path.name) for path in folder.iterdir()):
        return
    here = Path.cwd()
    if not (folder / RECORD).is_file() or folder.resolve() in (here, *here.parents):
        raise ValueError(
            f"`output` must be a new folder, or one of an earlier run. Received: {folder}"
        )
    options = _options(config, inputs)
    # A training that a process before this one has ended is never to be overwritten.
    if training.finish or processes.is_trained() or not config.overwrite:
        _require_same_run(folder, options)
    elif not _can_go_on(folder, options):
        _require_nothing_else(folder)
    if (folder / LOCK).exists():
        with _alone(folder):
            pass


def differing_options(config, inputs=()):
    """Names of the options by which the run in the folder is another than this one."""
    return _differing(_recorded(Path(config.output)), _options(config, inputs))


def _is_nothing(name):
    """Whether it is what a process leaves that is killed before it has begun, or a system's own."""
    return name in (LOCK, ".DS_Store") or name.startswith(f".{RECORD}.partial-")


def _is_partial(name):
    """Whether `write_atomically`, killed, has left it."""
    return name.startswith(".") and ".partial-" in name


def _require_nothing_else(folder):
    """Raises ValueError where there is more in the folder than a run, which alone may be replaced."""
    names = [path.name for path in folder.iterdir() if path.name not in OF_A_RUN]
    more = sorted(name for name in names if not (_is_nothing(name) or _is_partial(name)))
    more += [f"{CHECKPOINTS}/{path.name}" for path in _besides_checkpoints(folder)]
    if more:
        raise ValueError(
            f"`output` must hold nothing but a run, if it is to be replaced. Received: {folder}, which holds "
            f"{', '.join(more)}"
        )


def _besides_checkpoints(folder):
    """What stands among the checkpoints and is none: a copy of the user's, say."""
    paths = sorted((folder / CHECKPOINTS).glob("*"))
    return [path for path in paths if not (path.match(FILES) or _is_partial(path.name))]


def _remove_checkpoints(folder):
    """Removes a run's checkpoints; their folder with them, if it has nothing else."""
    if _besides_checkpoints(folder):
        for path in (folder / CHECKPOINTS).glob(FILES):
            path.unlink()
    else:
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def _can_go_on(folder, options):
    """Whether the folder is of an unfinished run of these options."""
    return not (folder / DONE).exists() and not _differing(_recorded(folder), options)


def _differing(earlier, options):
    """Names of the options, but for the free ones, that are not the same."""
    names = sorted({*options, *earlier} - {*FREE})
    return [name for name in names if options.get(name) != earlier.get(name)]


@contextlib.contextmanager
def _alone(folder):
    """The folder for this process alone; the system frees it too if the process is killed."""
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            "`output` must be a folder that no other process is at work on. "
            f"Received: {folder}, where a run is going on"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def open_run(config, inputs=()):
    """The folder of a run that `check_run_folder` allows, for the time of the run.

    Args:
        config: The recipe's Config.
        inputs: Paths of the data files.

    Yields:
        The folder's path. A run that was stopped finds what it had left there.
    """
    check_run_folder(config, inputs)
    folder, options = Path(config.output), _options(config, inputs)
    processes.require_same(**_joint(options))
    if not processes.is_first():
        yield folder  # which is process 0's
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if (folder / RECORD).is_file() and not _can_go_on(folder, options):
            _remove(folder)  # as `overwrite` says
        if _recorded(folder) != options:
            text = json.dumps(options, ensure_ascii=False, indent=1) + "\n"
            save_text(folder / RECORD, text)
        yield folder
        (folder / DONE).touch()
        _remove_checkpoints(folder)
        (folder / LOCK).unlink(missing_ok=True)


def _joint(options):
    """What must be so in every process: all that has a part in the weights; paths may differ."""
    digests = [value for name, value in options.items() if name.startswith(_CONTENT)]
    alone = (*FREE, "output", "train", "valid", "test", "teacher")
    names = [name for name in options if name not in alone and not name.startswith(_CONTENT)]
    return {name: options[name] for name in names} | {"content of the data": digests}


def _options(config, inputs):
    """Every option by name, as what it stands for here; and the checksum of every data file."""
    options = {}
    for name, value in dataclasses.asdict(config).items():
        options |= value if isinstance(value, dict) else {name: value}
    del options["overwrite"]
    options["learning_rate"] = training_of(config).learning_rate
    options |= processes.run_options(options["precision"])
    for path in inputs:
        content = Path(path).read_bytes() if Path(path).is_file() else b""
        options[f"{_CONTENT} {path}"] = hashlib.sha256(content).hexdigest()
    return json.loads(json.dumps(options))


def _recorded(folder):
    try:
        return json.loads((folder / RECORD).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def _remove(folder):
    """Removes a run; the record last, so that a kill leaves what is known as a run."""
    for path in folder.iterdir():
        if path.name not in (RECORD, LOCK):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (folder / RECORD).unlink()


def _require_same_run(folder, options):
    if (folder / DONE).exists():
        raise ValueError(
            f"{folder} holds a finished run. Give another --output, or --overwrite to replace it"
        )
    earlier = _recorded(folder)
    differing = [
        f"{name}={options.get(name)!r} (there: {earlier.get(name)!r})"
        for name in _differing(earlier, options)
    ]
    if differing:
        raise ValueError(
            f"{folder} holds a run of other options. Give the same ones to go on with it, another "
            f"--output, or --overwrite. Received: {', '.join(differing)}"
        )


def save_text(path, text):
    """Writes a text file whole or not at all."""
    write_atomically(path, lambda partial: partial.write_text(text, "utf-8"))


def save_model(model, tokenizer, folder):
    """`model.keras`, without optimizer and loss, and `tokenizer.model`: they load with the zoo alone."""
    write_atomically(Path(folder) / "model.keras", lambda partial: model.save(partial))
    save_tokenizer(tokenizer, folder)


def save_tokenizer(tokenizer, folder):
    """`tokenizer.model`."""
    write_atomically(
        Path(folder) / TOKENIZER, lambda partial: partial.write_bytes(tokenizer.model_bytes)
    )


def require_same_tokenizer(tokenizer, folder):
    """Raises ValueError where the training in `folder` was begun with another tokenizer.

    Another release of SentencePiece may learn another one from the same text.
    """
    path = Path(folder) / TOKENIZER
    if not path.is_file() or path.read_bytes() != tokenizer.model_bytes:
        raise ValueError(
            f"{path} must be the tokenizer that this run learns from its data, as when it was begun. "
            "Received: another one, of another release of sentencepiece perhaps"
        )
