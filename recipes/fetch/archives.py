"""Files inside packages: wheels and zips, npm's tgz, Debian's .deb; nothing is unpacked to disk."""

import io
import tarfile
import zipfile
from pathlib import Path

from .download import FetchError


def members(path, wanted, part="data"):
    """The regular files of a package whose names are wanted, one by one.

    Args:
        path: `.whl`, `.zip`, `.tgz`, `.tar.gz` or `.deb`.
        wanted: Function of a name: whether to read that file.
        part: Of a .deb: `data`, what it installs, or `control`, what it says of itself.

    Yields:
        (name, content): str without a leading `./`, bytes.

    Raises:
        FetchError: The file is broken, or compressed in a way that Python cannot open.
    """
    path = Path(path)
    try:
        if path.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if not name.endswith("/") and wanted(name):
                        yield name, archive.read(name)
            return
        content = path.open("rb") if path.suffix != ".deb" else _deb_part(path, part)
        with content, tarfile.open(fileobj=content, mode="r|*") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if member.isfile() and wanted(name):
                    yield name, archive.extractfile(member).read()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise FetchError(f"{path} must be a package that Python can open: {error}") from error


def _deb_part(path, part):
    """The tar file inside a .deb, which is an `ar` archive: 60-byte headers, even offsets."""
    content = path.read_bytes()
    if not content.startswith(b"!<arch>\n"):
        raise FetchError(f"{path} must be a Debian package. Received: {content[:8]!r}")
    position = 8
    while position + 60 <= len(content):
        name = content[position : position + 16].decode("ascii", "replace").strip().rstrip("/")
        size = int(content[position + 48 : position + 58])
        position += 60
        if name.startswith(f"{part}.tar"):
            if name.endswith(".zst"):
                raise FetchError(f"{path} is compressed by zstd, which Python 3.11 cannot open")
            return io.BytesIO(content[position : position + size])
        position += size + size % 2
    raise FetchError(f"{path} must be a Debian package. Received: one without {part}.tar")
