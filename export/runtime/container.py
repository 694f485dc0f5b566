"""The parts of a bundle, in a folder or in one zip, and the checksums that hold them together."""

import hashlib
import json
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

FORMAT = 2


MODEL_FILE, TOKENIZER_FILE, DESCRIPTION_FILE = "model.tflite", "tokenizer.model", "bundle.json"


# What the folder of a bundle may hold.
PARTS = {
    *(MODEL_FILE, TOKENIZER_FILE, DESCRIPTION_FILE),
    *("golden.json", "report.md", "report.html"),
}


MAX_LENGTH = 65536  # tokens; a file makes room for all of them


MAX_SIZE = 1 << 31  # bytes of a part: a TFLite file cannot be larger


MAX_PARTS = 64


# bundle.json holds its own SHA-256: that of its bytes with zeros for these 64 digits.
_SEAL = re.compile(rb'"bundle\.json": "([0-9a-f]{64})"')


_UNSEALED = "0" * 64


_FORMAT = re.compile(rb'\A\{\s*"format": (-?\d{1,9})\b')


_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


_DIGEST = re.compile(r"[0-9a-f]{64}")


class BundleError(ValueError):
    """A bundle is missing, damaged, or put together from parts of different ones."""


@dataclass(frozen=True)
class Container:
    """What was read of a bundle, every byte of it compared with its checksum.

    Attributes:
        path: The folder or zip.
        description: What bundle.json says.
        parts: Name to bytes of the other files.
    """

    path: Path
    description: dict
    parts: dict

    def part(self, name):
        """The bytes of a part; BundleError if it was left out."""
        if name not in self.parts:
            raise BundleError(f"{self.path / name} is missing")
        return self.parts[name]


def is_zip(path):
    """Whether a bundle of this path is one file."""
    return Path(path).suffix == ".zip"


def is_bundle(path):
    """Whether a bundle stands at `path`, whole or not, and nothing else."""
    try:
        if is_zip(path):
            with zipfile.ZipFile(path) as archive:
                names = set(archive.namelist())
        else:
            names = set(os.listdir(path))
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return DESCRIPTION_FILE in names and names <= PARTS


def seal(description, parts):
    """The bytes of bundle.json: `description` with a checksum of every part, and of itself."""
    digests = {name: _digest(content) for name, content in sorted(parts.items())}
    description = {
        "format": FORMAT,
        **description,
        "sha256": {DESCRIPTION_FILE: _UNSEALED, **digests},
    }
    content = (json.dumps(description, ensure_ascii=False, indent=1) + "\n").encode()
    sealed = f'"{DESCRIPTION_FILE}": "{_digest(content)}"'
    return content.replace(f'"{DESCRIPTION_FILE}": "{_UNSEALED}"'.encode(), sealed.encode())


def write_container(path, description, parts, zipped=False):
    """Writes a bundle.

    Args:
        path: Folder or file to make.
        description: What bundle.json is to say, its format and checksums aside.
        parts: Name to bytes of the other files.
        zipped: Whether to make one file, a zip.
    """
    parts = {**parts, DESCRIPTION_FILE: seal(description, parts)}
    if not zipped:
        path.mkdir()
        for name, content in parts.items():
            (path / name).write_bytes(content)
        return
    # Stored: weights hardly shrink, and so no part can be larger than the file it comes in.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            entry = zipfile.ZipInfo(name)  # of 1980: equal bundles are equal files
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)


def read_container(path):
    """Reads a bundle into memory; nothing but bundle.json's own checksum is looked for before it fits.

    The model and the tokenizer must be there. Other parts may have been left out.

    Args:
        path: Folder or zip.

    Returns:
        A `Container`.

    Raises:
        BundleError: What is wrong, naming the part.
    """
    path = Path(path)
    read, names = _open_zip(path) if path.is_file() else _open_folder(path)
    description = _parse(path / DESCRIPTION_FILE, read(DESCRIPTION_FILE))
    digests = {name: d for name, d in description["sha256"].items() if name != DESCRIPTION_FILE}
    if names is not None and not names <= {DESCRIPTION_FILE, *digests}:
        stranger = min(names - {DESCRIPTION_FILE, *digests})
        raise BundleError(f"{path} holds a file that is not of its bundle: {stranger!r}")
    parts = {}
    for name, digest in digests.items():
        content = read(name, name in (MODEL_FILE, TOKENIZER_FILE))
        if content is None:
            continue
        if _digest(content) != digest:
            raise BundleError(
                f"{path / name} is damaged or of another bundle: its SHA-256 is not the one in "
                f"{DESCRIPTION_FILE}. Received: {len(content)} bytes"
            )
        parts[name] = content
    return Container(path, description, parts)


def _open_folder(folder):
    if not (folder / DESCRIPTION_FILE).is_file():
        raise BundleError(f"{folder} is no bundle: there is no {folder / DESCRIPTION_FILE}")

    def read(name, needed=True):
        file = folder / name
        if not needed and not os.path.lexists(file):
            return None
        try:
            # What is no file, such as a pipe, might never end.
            if file.exists() and not file.is_file():
                raise BundleError(f"{file} cannot be read: it is no file")
            return file.read_bytes()
        except OSError as error:
            raise BundleError(f"{file} cannot be read: {error.strerror}") from error

    return read, None


def _open_zip(path):
    """Reads all of a zip; nothing is unpacked, so that no name in it can lead anywhere."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()[: MAX_PARTS + 1]
            for entry in entries:
                _check_entry(path, entry)
            names = [entry.filename for entry in entries]
            for name in set(names):
                if names.count(name) > 1:
                    raise BundleError(f"{path} is refused: its entry {name!r} is there twice")
            size = sum(entry.file_size for entry in entries)
            if len(entries) > MAX_PARTS or size > path.stat().st_size:
                raise BundleError(
                    f"{path} is refused: a bundle has at most {MAX_PARTS} parts, none inside "
                    f"another. Received: {len(entries)} or more, of {size:,} bytes"
                )
            contents = {entry.filename: archive.read(entry) for entry in entries}
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}") from error
    except BundleError:
        raise
    # A damaged zip makes zipfile raise more than it says.
    except Exception as error:
        raise BundleError(f"{path} is damaged: {error!r}") from error
    if DESCRIPTION_FILE not in contents:
        raise BundleError(f"{path} is no bundle: there is no {path / DESCRIPTION_FILE}")

    def read(name, needed=True):
        if needed and name not in contents:
            raise BundleError(f"{path / name} cannot be read: No such file in the zip")
        return contents.get(name)

    return read, set(contents)


def _check_entry(path, entry):
    kind = entry.external_attr >> 16 & 0o170000
    for wrong, what in [
        # As it stands in the file: zipfile cuts a name at a NUL.
        (not _NAME.fullmatch(entry.orig_filename), "must have a plain file name"),
        (kind not in (0, 0o100000), "is a link or the like"),
        (entry.flag_bits & 1, "is encrypted"),
        (entry.compress_type != zipfile.ZIP_STORED, "is compressed, and must be stored"),
        (entry.file_size != entry.compress_size, "has two sizes"),
        (entry.file_size > MAX_SIZE, f"is larger than {MAX_SIZE:,} bytes"),
    ]:
        if wrong:
            raise BundleError(f"{path} is refused: its entry {entry.orig_filename!r:.120} {what}")


def _parse(path, content):
    """bundle.json as a dict whose entries are of the types that `load` relies on."""
    found = _FORMAT.match(content)
    if found and int(found[1]) != FORMAT:
        raise BundleError(
            f"{path} must be of format {FORMAT}, which this version of seq2lite reads. "
            f"Received: format {int(found[1])}"
        )
    seals = _SEAL.findall(content)
    if len(seals) != 1 or seals[0].decode() != _digest(
        content.replace(b'"bundle.json": "' + seals[0], b'"bundle.json": "' + _UNSEALED.encode())
    ):
        raise BundleError(
            f"{path} is damaged: its SHA-256 is not the one that it gives. "
            f"Received: {len(content)} bytes"
        )
    try:
        description = json.loads(content)
        _check_types(description)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise BundleError(f"{path} is damaged: {error}") from error
    return description


def _check_types(description):
    if type(description.get("format")) is not int or description["format"] != FORMAT:
        raise ValueError(f"its format must be {FORMAT}")
    digests = description.get("sha256")
    if len(digests) > MAX_PARTS or not {MODEL_FILE, TOKENIZER_FILE} <= digests.keys():
        raise ValueError("checksums are missing")
    for name, digest in digests.items():
        if not _NAME.fullmatch(name) or not _DIGEST.fullmatch(digest):
            raise ValueError(f"there can be no checksum {digest!r:.80} of {name!r:.80}")
    for name in ("max_source_length", "max_target_length"):
        length = description.get(name)
        if type(length) is not int or not 2 <= length <= MAX_LENGTH:
            raise ValueError(f"{name} must be an integer from 2 to {MAX_LENGTH:,}")


def _digest(content):
    return hashlib.sha256(content).hexdigest()
