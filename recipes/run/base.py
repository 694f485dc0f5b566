"""The base of a run: a trained model that it starts from instead of random weights."""

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any, Self

from seq2lite.export.runtime.container import is_bundle
from seq2lite.export.runtime.tokenizer import Tokenizer, Tokenizers
from seq2lite.zoo.presets import FAMILIES
from seq2lite.zoo.text import SETTINGS_FILE

from ..training.artifacts import MODEL, RECORD, TARGET_TOKENIZER, TOKENIZER


@dataclasses.dataclass(frozen=True)
class BaseModel:
    """A trained model and its tokenizers; its weights are not read.

    Attributes:
        path: The `.keras` file.
        family: Name of the model's builder, a key of `zoo.presets.BUILDERS`.
        config: Arguments of the builder, with those of the vocabulary and the name.
        tokenizers: The `Tokenizers`.
        limits: Maximum lengths that the model states, by name; empty if it contains no tokenizer.
        record: Options of the run that trained it, by name; empty if they are unknown.
    """

    path: Path
    family: str
    config: dict[str, Any]
    tokenizers: Tokenizers
    limits: dict[str, int]
    record: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a run folder, or a `.keras` file with a tokenizer in it or in the same folder.

        Raises:
            ValueError: `path` is neither, the model is of no family of the zoo, or the tokenizer is
                not that of the model.
        """
        given, path = path, Path(path)
        if path.exists() and is_bundle(path):
            raise _error(given, "a bundle, which has no weights to train: give the run folder")
        file = path if path.suffix == ".keras" else path / MODEL
        if not file.is_file():
            lacks = f"no {MODEL} in it: finish the run" if path.is_dir() else "no such path"
            raise _error(given, lacks)
        try:
            with zipfile.ZipFile(file) as content:
                saved = json.loads(content.read("config.json"))
        except (zipfile.BadZipFile, KeyError, ValueError):
            raise _error(given, "a file that Keras has not written") from None
        classes = {f"seq2lite>{family.__name__}": name for name, family in FAMILIES.items()}
        if saved.get("registered_name") not in classes:
            families = " or ".join(sorted(FAMILIES))
            raise _error(given, f"a model that is no {families}: {saved.get('registered_name')}")
        config = {k: v for k, v in saved["config"].items() if k != "frozen_layers"}
        if (text := read_text(file, config["start_id"])) is None:
            raise _error(given, f"no {TOKENIZER} in the model or beside it")
        tokenizers, settings = text
        if difference := _vocabulary_difference(tokenizers, config):
            raise _error(given, f"whose tokenizer is not that of the model: it has {difference}")
        try:
            record = json.loads((file.parent / RECORD).read_text("utf-8"))
        except (OSError, ValueError):
            record = {}
        family = classes[saved["registered_name"]]
        names = ("max_source_length", "max_target_length")
        limits = {name: settings[name] for name in names if name in settings}
        return cls(file, family, config, tokenizers, limits, record)

    @property
    def tokenizer(self) -> Tokenizer | tuple[Tokenizer, Tokenizer]:
        """The tokenizer, or one for each side."""
        return self.tokenizers.one_or_both

    @property
    def max_lengths(self) -> tuple[int, int] | None:
        """Maximum source and target length of the training; None if they are unknown."""
        names = ("max_source_length", "max_target_length")
        known = self.record | self.limits
        source, target = (known.get(name, known.get("max_length")) for name in names)
        return None if source is None or target is None else (source, target)

    @property
    def files(self) -> tuple[str, ...]:
        """The model, and the tokenizers in the same folder."""
        tokenizers = (TOKENIZER, TARGET_TOKENIZER)
        paths = [self.path, *(self.path.parent / name for name in tokenizers)]
        return tuple(str(path) for path in paths if path.is_file())


def read_text(file: Path, start_id: int) -> tuple[Tokenizers, dict[str, Any]] | None:
    """Read the tokenizers and the text settings of a trained model.

    Args:
        file: The `.keras` file. If it contains no tokenizer, those in the same folder are read.
        start_id: Id with which targets start, as the model states it.

    Returns:
        The `Tokenizers` and the settings, which are empty if the file contains none; None if there
        is no tokenizer.
    """
    names = (TOKENIZER, TARGET_TOKENIZER)
    with zipfile.ZipFile(file) as content:
        paths = {f"assets/{name}": name for name in (SETTINGS_FILE, *names)}
        files = {paths[path]: content.read(path) for path in content.namelist() if path in paths}
    if TOKENIZER not in files:
        beside = {name: file.parent / name for name in names}
        files = {name: path.read_bytes() for name, path in beside.items() if path.is_file()}
    if TOKENIZER not in files:
        return None
    source = target = Tokenizer(files.get(TARGET_TOKENIZER, files[TOKENIZER]), start_id)
    if TARGET_TOKENIZER in files:
        source = Tokenizer(files[TOKENIZER])
    return Tokenizers(source, target), json.loads(files.get(SETTINGS_FILE, b"{}"))


def _vocabulary_difference(tokenizers, config):
    """Return the sizes and ids in which tokenizers differ from a model; empty if in none."""
    received = tokenizers.target.vocabulary
    expected = {name: config[name] for name in received}
    received["source_vocabulary_size"] = tokenizers.source.vocabulary_size
    expected["source_vocabulary_size"] = (
        config.get("source_vocabulary_size") or config["vocabulary_size"]
    )
    return ", ".join(
        f"{name}={value} instead of {expected[name]}"
        for name, value in received.items()
        if value != expected[name]
    )


def _error(path, problem):
    return ValueError(
        "`init_from` must be the folder of a finished run, or a .keras file with its tokenizer, "
        f"in the file or as {TOKENIZER} in the same folder. Received: {path}, {problem}"
    )
