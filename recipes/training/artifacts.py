"""Files of a trained model in a run folder."""

from pathlib import Path

from seq2lite.export.runtime.tokenizer import Tokenizer, Tokenizers
from seq2lite.export.system.atomic import write_bytes

MODEL = "model.keras"
TOKENIZER = "tokenizer.model"
RECORD = "seq2lite-run.json"  # options of the run, by which it is resumed
TARGET_TOKENIZER = "target_tokenizer.model"  # if the target has its own
EXPORT = "export.json"  # arguments of `to_bundle`, to export the run again


def keep_tokenizer(
    tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer], folder: Path, is_resumed: bool
) -> None:
    """Save the tokenizer of a new run; check that a resumed run has the same one.

    Args:
        tokenizer: A `Tokenizer`, or one for each side.
        folder: The run folder.
        is_resumed: Whether the run resumes.

    Raises:
        ValueError: A resumed run has another tokenizer. Another release of SentencePiece may learn
            another one from the same text.
    """
    tokenizers = Tokenizers.of(tokenizer)
    files = {folder / TOKENIZER: tokenizers.source.model_bytes}
    if not tokenizers.are_shared:
        files[folder / TARGET_TOKENIZER] = tokenizers.target.model_bytes
    for path, content in files.items():
        if not is_resumed:
            write_bytes(path, content)
        elif not path.is_file() or path.read_bytes() != content:
            raise ValueError(
                f"{path} must be the tokenizer that this run learns from its data. Received: "
                "another one, perhaps learned by another release of sentencepiece. Install that "
                "release, or give another --output"
            )


def require_exported(folder: Path) -> None:
    """Raise ValueError unless a folder contains a run that was trained and exported."""
    missing = [name for name in (MODEL, TOKENIZER, EXPORT) if not (folder / name).is_file()]
    if missing == [EXPORT]:
        raise ValueError(
            f"`run` must contain {EXPORT}. Received: {folder}, a run of an earlier version. Export "
            f"its {MODEL} with `export.to_bundle` in Python, or train again with --overwrite"
        )
    if missing:
        raise ValueError(
            f"`run` must be the folder of a finished run, with {MODEL} and {EXPORT}. Received: "
            f"{folder}. To finish a run, give its command again; add --finish to export the best "
            "checkpoint so far"
        )
