"""The base of a run: a trained model that it starts from instead of random weights."""

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any, Self

from seq2lite.export.runtime.container import is_bundle
from seq2lite.export.runtime.tokenizer import Tokenizer, Tokenizers
from seq2lite.zoo.presets import FAMILIES

from ..training.artifacts import MODEL, RECORD, TARGET_TOKENIZER, TOKENIZER


@dataclasses.dataclass(frozen=True)
class BaseModel:
    """A trained model and its tokenizers; its weights are not read.

    Attributes:
        path: The `.keras` file.
        family: Name of the model's builder, a key of `zoo.presets.BUILDERS`.
        config: Arguments of the builder, with those of the vocabulary and the name.
        tokenizers: The `Tokenizers`.
        record: Options of the run that trained it, by name; empty if they are unknown.
    """

    path: Path
    family: str
    config: dict[str, Any]
    tokenizers: Tokenizers
    record: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a run folder or a `.keras` file with `tokenizer.model` in the same folder.

        Raises:
            ValueError: `path` is neither, or the model is of no family of the zoo.
        """
        given, path = path, Path(path)
        if path.exists() and is_bundle(path):
            raise _error(given, "a bundle, which has no weights to train: give the run folder")
        file = path if path.suffix == ".keras" else path / MODEL
        if not file.is_file():
            lacks = f"no {MODEL} in it: finish the run" if path.is_dir() else "no such path"
            raise _error(given, lacks)
        if not (file.parent / TOKENIZER).is_file():
            raise _error(given, f"no {TOKENIZER} beside the model")
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
        names = [TOKENIZER]
        names += [TARGET_TOKENIZER] if (file.parent / TARGET_TOKENIZER).is_file() else []
        sides = [Tokenizer(file.parent / name, config["start_id"]) for name in names]
        try:
            record = json.loads((file.parent / RECORD).read_text("utf-8"))
        except (OSError, ValueError):
            record = {}
        family = classes[saved["registered_name"]]
        return cls(file, family, config, Tokenizers(sides[0], sides[-1]), record)

    @property
    def tokenizer(self) -> Tokenizer | tuple[Tokenizer, Tokenizer]:
        """The tokenizer, or one for each side."""
        sides = self.tokenizers
        return sides.target if sides.are_shared else (sides.source, sides.target)

    @property
    def max_lengths(self) -> tuple[int, int] | None:
        """Maximum source and target length of the training; None if they are unknown."""
        names = ("max_source_length", "max_target_length")
        source, target = (self.record.get(name, self.record.get("max_length")) for name in names)
        return None if source is None or target is None else (source, target)

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are read."""
        tokenizers = (TOKENIZER, TARGET_TOKENIZER)
        paths = [self.path, *(self.path.parent / name for name in tokenizers)]
        return tuple(str(path) for path in paths if path.is_file())


def _error(path, problem):
    return ValueError(
        "`init_from` must be the folder of a finished run, or a .keras file with its "
        f"{TOKENIZER} in the same folder. Received: {path}, {problem}"
    )
