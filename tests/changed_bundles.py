"""Changed copies of a bundle with matching checksums, as a forger would make them."""

import hashlib
import json
import re

from seq2lite.export.runtime.container import DESCRIPTION_FILE, write_container

ZEROS = b"0" * 64


def parts_of(bundle):
    """Return the files of a bundle folder, name to bytes, without bundle.json."""
    return {f.name: f.read_bytes() for f in bundle.iterdir() if f.name != DESCRIPTION_FILE}


def changed_copy(bundle, path, parts=None, entries=None):
    """Write a copy of a bundle into the folder `path` with changed `parts` and description entries."""
    description = json.loads((bundle / DESCRIPTION_FILE).read_text("utf-8"))
    del description["sha256"], description["format"]
    made = path / "made"
    write_container(made, description, parts_of(bundle) | (parts or {}))
    for file in made.iterdir():
        file.rename(path / file.name)
    made.rmdir()
    if entries:
        description = json.loads((path / DESCRIPTION_FILE).read_text("utf-8"))
        if isinstance(entries.get("sha256"), dict):
            entries = {"sha256": description["sha256"] | entries["sha256"]}
        (path / DESCRIPTION_FILE).write_bytes(reseal(json.dumps(description | entries).encode()))


def reseal(content):
    """Return bundle.json with a matching checksum of itself."""
    content = re.sub(rb'"bundle\.json": "[0-9a-f]{64}"', b'"bundle.json": "%s"' % ZEROS, content)
    digest = hashlib.sha256(content).hexdigest().encode()
    return content.replace(b'"bundle.json": "%s"' % ZEROS, b'"bundle.json": "%s"' % digest)
