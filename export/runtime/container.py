"""The parts of a bundle, in a folder or a zip, and their checksums."""

import hashlib
import json
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .checks import is_number, quote

FORMAT = 3
MODEL_FILE, TOKENIZER_FILE, DESCRIPTION_FILE = "model.tflite", "tokenizer.model", "bundle.json"
TARGET_TOKENIZER_FILE = "target_tokenizer.model"  # only where the target has its own
REQUIRED = {MODEL_FILE, TOKENIZER_FILE, TARGET_TOKENIZER_FILE}
PARTS = {*REQUIRED, DESCRIPTION_FILE, "golden.json", "report.md", "report.html"}
MAX_LENGTH = 65536  # tokens; a search allocates them all
MAX_SIZE = 1 << 31  # bytes of a part; a TFLite file cannot be larger
MAX_PARTS = 64

# bundle.json contains its own SHA-256, computed with zeros in place of these 64 digits.
_SEAL = re.compile(rb'"bundle\.json": "([0-9a-f]{64})"')
_UNSEALED = "0" * 64
_FORMAT = re.compile(rb'\A\{\s*"format": (-?\d{1,9})\b')
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class BundleError(ValueError):
    """A bundle is missing, corrupted, or mixes parts of several bundles."""


@dataclass(frozen=True)
class Container:
    """The verified content of a bundle.

    Attributes:
        path: The folder or zip.
        description: The content of bundle.json.
        parts: dict, name to bytes of the other files.
    """

    path: Path
    description: dict
    parts: dict

    def part(self, name: str) -> bytes:
        """Return the bytes of a part, or raise BundleError if the bundle lacks it."""
        if name not in self.parts:
            raise BundleError(f"{self.path / name} is missing")
        return self.parts[name]


def describe_search(num_beams: int, length_penalty: float) -> str:
    """Describe the entry `search` of bundle.json in words.

    Example:
        >>> from seq2lite.export.runtime.container import describe_search
        >>> describe_search(4, 0.6), describe_search(1, 0.6)
        ('beam search with 4 beams and length penalty 0.6', 'greedy search')
    """
    if num_beams == 1:
        return "greedy search"
    return f"beam search with {num_beams} beams and length penalty {length_penalty:g}"


def is_zip(path: str | os.PathLike) -> bool:
    """Return whether a bundle at this path is a zip file."""
    return Path(path).suffix == ".zip"


def is_bundle(path: str | os.PathLike) -> bool:
    """Return whether `path` is a bundle, complete or not, and contains nothing else."""
    try:
        if is_zip(path):
            with zipfile.ZipFile(path) as archive:
                names = set(archive.namelist())
        else:
            names = set(os.listdir(path))
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return DESCRIPTION_FILE in names and names <= PARTS


def seal(description: dict, parts: dict[str, bytes]) -> bytes:
    """Return bundle.json: `description` with the checksums of every part and of itself."""
    digests = {name: _digest(content) for name, content in sorted(parts.items())}
    description = {
        "format": FORMAT,
        **description,
        "sha256": {DESCRIPTION_FILE: _UNSEALED, **digests},
    }
    content = (json.dumps(description, ensure_ascii=False, indent=1) + "\n").encode()
    sealed = f'"{DESCRIPTION_FILE}": "{_digest(content)}"'
    return content.replace(f'"{DESCRIPTION_FILE}": "{_UNSEALED}"'.encode(), sealed.encode())


def write_container(
    path: Path, description: dict, parts: dict[str, bytes], zipped: bool = False
) -> None:
    """Write a bundle.

    Args:
        path: Folder or file to write.
        description: Content of bundle.json, without format and checksums.
        parts: dict, name to bytes of the other files.
        zipped: Whether to write a zip. Default: a folder.
    """
    parts = {**parts, DESCRIPTION_FILE: seal(description, parts)}
    if not zipped:
        path.mkdir()
        for name, content in parts.items():
            (path / name).write_bytes(content)
        return
    # Stored, because weights hardly compress. So no part can be larger than the zip itself.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            entry = zipfile.ZipInfo(name)  # dated 1980, so equal bundles are equal files
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)


def read_container(path: str | os.PathLike) -> Container:
    """Read a bundle into memory and verify every checksum.

    The model and the tokenizers are required. Other parts are optional.

    Args:
        path: Folder or zip.

    Returns:
        A `Container`.

    Raises:
        BundleError: A part is missing or corrupted; the message names it.
    """
    path = Path(path)
    read, names = _open_zip(path) if path.is_file() else _open_folder(path)
    description = _parse(path / DESCRIPTION_FILE, read(DESCRIPTION_FILE))
    digests = {name: d for name, d in description["sha256"].items() if name != DESCRIPTION_FILE}
    if names is not None and not names <= {DESCRIPTION_FILE, *digests}:
        stranger = min(names - {DESCRIPTION_FILE, *digests})
        raise BundleError(
            f"{path} must contain only files that {DESCRIPTION_FILE} lists. Received: {stranger!r}"
        )
    parts = {}
    for name, digest in digests.items():
        content = read(name, name in REQUIRED)
        if content is None:
            continue
        if _digest(content) != digest:
            raise BundleError(
                f"{path / name} is corrupted or belongs to another bundle: its SHA-256 differs from "
                f"the one in {DESCRIPTION_FILE}. Received: {len(content)} bytes"
            )
        parts[name] = content
    return Container(path, description, parts)


def _open_folder(folder):
    if not (folder / DESCRIPTION_FILE).is_file():
        raise BundleError(_not_a_bundle(folder))

    def read(name, needed=True):
        file = folder / name
        if not needed and not os.path.lexists(file):
            return None
        try:
            # Reading a pipe, for example, might never end.
            if file.exists() and not file.is_file():
                raise BundleError(f"{file} cannot be read: it is not a regular file")
            return file.read_bytes()
        except OSError as error:
            raise BundleError(f"{file} cannot be read: {error.strerror}") from error

    return read, None


def _not_a_bundle(path):
    """Describe a path without bundle.json; a run folder contains its bundles."""
    received = "a path without it" if path.exists() else "a path that does not exist"
    inside = sorted(file.parent.name for file in path.glob(f"*/{DESCRIPTION_FILE}"))
    hint = f". Try one of the bundles in it: {', '.join(inside)}" if inside else ""
    if path.is_file() and (path.parent / DESCRIPTION_FILE).is_file():
        hint = f". Try its folder, {path.parent}"
    return (
        f"{path} is not a bundle: it must be a folder or a zip that contains {DESCRIPTION_FILE}. "
        f"Received: {received}{hint}"
    )


def _open_zip(path):
    """Read a zip into memory; nothing is unpacked, so entry names cannot escape a folder."""
    if not (is_zip(path) or zipfile.is_zipfile(path)):
        raise BundleError(_not_a_bundle(path))
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()[: MAX_PARTS + 1]
            for entry in entries:
                _check_entry(path, entry)
            names = [entry.filename for entry in entries]
            for name in set(names):
                if names.count(name) > 1:
                    raise BundleError(f"{path} is refused: its entry {name!r} appears twice")
            size = sum(entry.file_size for entry in entries)
            if len(entries) > MAX_PARTS or size > path.stat().st_size:
                raise BundleError(
                    f"{path} is refused: a bundle has at most {MAX_PARTS} parts that do not overlap. "
                    f"Received: at least {len(entries)} parts of {size:,} bytes"
                )
            contents = {entry.filename: archive.read(entry) for entry in entries}
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}") from error
    except BundleError:
        raise
    # A corrupted zip makes zipfile raise undocumented exceptions.
    except Exception as error:
        raise BundleError(f"{path} is corrupted: {error!r}") from error
    if DESCRIPTION_FILE not in contents:
        raise BundleError(_not_a_bundle(path))

    def read(name, needed=True):
        if needed and name not in contents:
            raise BundleError(f"{path / name} cannot be read: the zip does not contain it")
        return contents.get(name)

    return read, set(contents)


def _check_entry(path, entry):
    kind = entry.external_attr >> 16 & 0o170000
    for is_wrong, problem in [
        # The name as stored, because zipfile truncates names at a NUL.
        (not _NAME.fullmatch(entry.orig_filename), "must have a plain file name"),
        (kind not in (0, 0o100000), "is not a regular file"),
        (entry.flag_bits & 1, "is encrypted"),
        (entry.compress_type != zipfile.ZIP_STORED, "is compressed, but must be stored (zip -0)"),
        (entry.file_size != entry.compress_size, "has contradictory sizes"),
        (entry.file_size > MAX_SIZE, f"is larger than {MAX_SIZE:,} bytes"),
    ]:
        if is_wrong:
            raise BundleError(
                f"{path} is refused: its entry {quote(entry.orig_filename)} {problem}"
            )


def _parse(path, content):
    """Parse bundle.json and check the types of the entries that `load` relies on."""
    found = _FORMAT.match(content)
    if found and int(found[1]) != FORMAT:
        raise BundleError(
            f"{path} must have format {FORMAT}, the one that this version of seq2lite reads. "
            f"Received: format {int(found[1])}. Export the model again, with `seq2lite export` or "
            "`export.to_bundle`, or use the version that wrote the bundle"
        )
    seals = _SEAL.findall(content)
    if len(seals) != 1 or seals[0].decode() != _digest(
        content.replace(b'"bundle.json": "' + seals[0], b'"bundle.json": "' + _UNSEALED.encode())
    ):
        raise BundleError(
            f"{path} is corrupted: its SHA-256 differs from the one that it states. "
            f"Received: {len(content)} bytes"
        )
    try:
        description = json.loads(content)
        _check_types(description)
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise BundleError(f"{path} is corrupted: {error}") from error
    return description


def _check_types(description):
    if type(description.get("format")) is not int or description["format"] != FORMAT:
        raise ValueError(f"its format must be {FORMAT}")
    digests = description.get("sha256")
    if len(digests) > MAX_PARTS or not {MODEL_FILE, TOKENIZER_FILE} <= digests.keys():
        raise ValueError("it must contain the checksums of model and tokenizer")
    for name, digest in digests.items():
        if not _NAME.fullmatch(name) or not _DIGEST.fullmatch(digest):
            raise ValueError(
                "its checksums must be hexadecimal SHA-256. "
                f"Received: {quote(digest, 80)} for {quote(name)}"
            )
    for name in ("max_source_length", "max_target_length"):
        length = description.get(name)
        if type(length) is not int or not 2 <= length <= MAX_LENGTH:
            raise ValueError(f"{name} must be an integer from 2 to {MAX_LENGTH:,}")
    search = description.get("search")
    num_beams, length_penalty = search["num_beams"], search["length_penalty"]
    is_valid = type(num_beams) is int and 1 <= num_beams <= MAX_LENGTH
    if not is_valid or not is_number(length_penalty) or not abs(length_penalty) < 1e300:
        raise ValueError(
            f"search must be a number of beams and a length penalty. Received: {quote(search)}"
        )


def _digest(content):
    return hashlib.sha256(content).hexdigest()
