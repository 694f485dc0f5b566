"""Load thousands of corrupted bundles: each must raise BundleError or generate the right text.

    make fuzz                                   # 10,000 copies of a tiny bundle
    python benchmarks/fuzz_bundle.py BUNDLE --cases 1000 --seed 7

The bundle is copied with other weights, and copies of the two are corrupted: changed bits, cut,
zeroed or inserted bytes, parts exchanged between them, parts that are missing or not files, changed
entries of bundle.json with and without a new checksum; in zips also names, attributes and any byte.
With a new checksum, the right text is that of the model under the changed description. Every case
runs in a worker process. A crash is reported with the number of its case.
"""

import argparse
import collections
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np

from seq2lite import export
from seq2lite.export.runtime.container import (
    DESCRIPTION_FILE,
    MODEL_FILE,
    read_container,
    write_container,
)
from seq2lite.export.runtime.load import open_container
from seq2lite.export.runtime.runner import Runner
from seq2lite.export.tflite_file import flatbuffer

TEXTS = ["Open File", "", "Close all editors in this group and those to the left"]
CHUNK, TIMEOUT = 500, 300  # cases per worker process; seconds per worker process
JUNK = [
    *[None, True, False, 0, 1, -1, 2, 3, 2**31, 2**63, 10**400, 1.5, 1e308, "", "2", "\0", "../x"],
    *[[], {}, [[]], {"model.tflite": "0" * 64}, ["model.tflite", "tokenizer.model"], "0" * 64],
]
NAMES = ["../escaped", "/tmp/escaped", "a/b", "..", "", "\\\\x", "model.tflite", "a\0b", "C:x", "é"]
SEAL = re.compile(rb'"bundle\.json": "[0-9a-f]{64}"')


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", nargs="?", type=Path, help="default: a bundle of a tiny model")
    parser.add_argument("--cases", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)  # folder, first case, end
    options = parser.parse_args()
    if options.worker:
        folder, *cases = options.worker
        return run_cases(Path(folder), range(*map(int, cases)), options.seed)
    with tempfile.TemporaryDirectory() as folder:
        bundle = options.bundle or tiny_bundle(Path(folder) / "tiny")
        outcomes, failures = fuzz(bundle, options.cases, options.seed)
    for (kind, outcome), number in sorted(outcomes.items()):
        print(f"{kind:24} {outcome:8} {number:6}")
    total = collections.Counter()
    for (_, outcome), number in outcomes.items():
        total[outcome] += number
    print(dict(total))
    print("\n".join(failures))
    return 1 if failures else 0


def fuzz(bundle, cases, seed=0):
    """Return the counts of (kind of corruption, outcome), and a line for each failed case."""
    outcomes, failures, first = collections.Counter(), [], 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make_pair(bundle, folder)
        while first < cases:
            last = min(first + CHUNK, cases)
            log = folder / "log"
            command = [sys.executable, __file__, "--seed", seed, "--worker", folder, first, last]
            with log.open("wb") as output, contextlib.suppress(subprocess.TimeoutExpired):
                status = "a timeout"
                status = subprocess.run(
                    list(map(str, command)),
                    stdout=output,
                    stderr=subprocess.PIPE,
                    timeout=TIMEOUT,
                    check=False,
                ).returncode
            lines = log.read_text("utf-8", "replace").splitlines()
            ended = [line.split("\t") for line in lines if line.count("\t") >= 2]
            for case, kind, outcome, *detail in ended:
                outcomes[kind, outcome] += 1
                if outcome not in ("refused", "right"):
                    failures.append(f"case {case}, {kind}: {outcome} {detail}")
            first += len(ended)
            if status != 0:
                outcomes["?", "crash"] += 1
                failures.append(f"case {first}: the process ended with {status}")
                first += 1
    return outcomes, failures


def run_cases(folder, cases, seed):
    """Run in the worker process: load each case and print its outcome as a line."""
    warnings.simplefilter("ignore")
    pair = [read_container(folder / name) for name in "ab"]
    runners = [open_container(container) for container in pair]
    right = [runner.generate(TEXTS) for runner in runners]
    assert right[0] != right[1]
    for case in cases:
        rng = np.random.default_rng([seed, case])
        kind = KINDS[rng.integers(len(KINDS))]
        place = folder / "case"
        try:
            corrupted = kind(rng, folder, place) or place
            runner = export.load(corrupted)
            if kind is resealed_description:  # Other lengths are then a valid description.
                honest = Runner(runner.description, runners[0].tokenizers, runners[0].engine)
                expected = [honest.generate(TEXTS)]
            else:
                # Zips are read from their end, so an intact second bundle is valid.
                expected = right if kind is zip_behind_zip else right[:1]
            outcome = "right" if runner.generate(TEXTS) in expected else "WRONG"
            detail = ""
        except export.BundleError as error:
            outcome, detail = "refused", str(error)
        except Exception as error:
            outcome, detail = "RAISED", repr(error)
        detail = " ".join(ascii(detail).split())[:200]
        print(case, kind.__name__, outcome, detail, sep="\t", flush=True)
        shutil.rmtree(place, ignore_errors=True) if place.is_dir() else place.unlink(True)
    return 0


def make_pair(bundle, folder):
    """Write folders and zips `a` and `b`: the bundle, and a copy with other weights."""
    container = read_container(bundle)
    description = {k: v for k, v in container.description.items() if k not in ("format", "sha256")}
    model = flatbuffer.read(container.parts[MODEL_FILE])
    largest = max((b for b in model.buffers if b.data is not None), key=lambda b: len(b.data))
    largest.data = np.roll(largest.data, len(largest.data) // 2 // 64 * 64)
    other = container.parts | {MODEL_FILE: flatbuffer.write(model), "report.md": b"of another"}
    for name, parts in (("a", container.parts), ("b", other)):
        write_container(folder / name, description, parts)
        write_container(folder / f"{name}.zip", description, parts, zipped=True)


def linked(folder, place):
    """Make a copy of `a` from links, of which corrupted files are replaced. Return its names."""
    place.mkdir()
    for file in (folder / "a").iterdir():
        os.symlink(file, place / file.name)
    return sorted(file.name for file in place.iterdir())


def replace(file, content):
    file.unlink(missing_ok=True)
    file.write_bytes(content)


def corrupt(rng, content):
    """Return content in which bits or ranges are changed, zeroed, inserted or removed."""
    original, content = content, bytearray(content)
    where = int(rng.integers(len(content)))
    size = int(min(rng.integers(1, 4096), len(content) - where))
    how = rng.integers(6)
    if how == 0:
        for _ in range(rng.integers(1, 17)):
            content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    elif how == 1:
        del content[where:]
    elif how == 2:
        content[where : where + size] = bytes(size)
    elif how == 3:
        content[where:where] = rng.bytes(size)
    elif how == 4:
        del content[where : where + size]
    else:
        content[where : where + size] = rng.bytes(size)
    # Zeros may have replaced zeros.
    return bytes(content) if content != original else corrupt(rng, original)


def corrupted_part(rng, folder, place):
    name = rng.choice(linked(folder, place))
    replace(place / name, corrupt(rng, (folder / "a" / name).read_bytes()))


def parts_of_other_bundle(rng, folder, place):
    """Replace some of the differing parts by those of `b`. All of them would be a valid bundle."""
    names = linked(folder, place)
    files = {name: (folder / "b" / name).read_bytes() for name in names}
    names = [name for name in names if files[name] != (place / name).read_bytes()]
    for name in rng.choice(names, rng.integers(1, len(names)), replace=False):
        replace(place / name, files[name])


def parts_exchanged(rng, folder, place):
    one, other = rng.choice(linked(folder, place), 2, replace=False)
    replace(place / one, (folder / "a" / other).read_bytes())
    if rng.integers(2):
        replace(place / other, (folder / "a" / one).read_bytes())


def no_file(rng, folder, place):
    file = place / rng.choice(linked(folder, place))
    file.unlink()
    how = rng.integers(5)
    if how == 0:
        file.mkdir()
    elif how == 1:
        os.mkfifo(file)
    elif how == 2:
        file.symlink_to(file)
    elif how == 3:
        file.write_bytes(b"")


def changed_description(rng, folder, place, reseal=False):
    linked(folder, place)
    content = (folder / "a" / DESCRIPTION_FILE).read_bytes()
    if rng.integers(4) == 0:
        content = corrupt(rng, content)
    else:
        description = json.loads(content)
        for _ in range(rng.integers(1, 4)):
            within = description
            if isinstance(description.get("sha256"), dict) and rng.integers(3) == 0:
                within = description["sha256"]
            if not within:
                continue
            lengths = ["max_source_length", "max_target_length"]
            key = str(rng.choice([*within, *lengths, *lengths, "new", *NAMES[:4]]))
            how = rng.integers(4)
            if how == 0:
                within.pop(key, None)
            elif how == 1 and isinstance(within.get(key), int):
                within[key] = int(within[key]) + int(rng.integers(-9, 9))
            else:
                within[key] = JUNK[rng.integers(len(JUNK))]
        content = json.dumps(description, indent=1).encode()
        how = rng.integers(12)
        if how == 0:
            content = content.replace(b'"name"', b'"name": ' + b"[" * 50_000 + b', "name"')
        elif how == 1:
            content = content.replace(b'"name"', b'"max_source_length": 3, "name"')
        elif how == 2:
            content = content.replace(b"null", b"NaN").replace(b"24", b"4" * 5000)
    if reseal:
        zeros = b'"bundle.json": "%s"' % (b"0" * 64)
        content = SEAL.sub(zeros, content)
        digest = hashlib.sha256(content).hexdigest().encode()
        content = content.replace(zeros, b'"bundle.json": "%s"' % digest)
    replace(place / DESCRIPTION_FILE, content)


def resealed_description(rng, folder, place):
    changed_description(rng, folder, place, reseal=True)


def corrupted_zip(rng, folder, place):
    place.write_bytes(corrupt(rng, (folder / "a.zip").read_bytes()))


def corrupted_directory(rng, folder, place):
    """Corrupt the central directory of a zip: names, sizes and offsets of its entries."""
    content = (folder / "a.zip").read_bytes()
    start = content.index(b"PK\1\2")
    directory = bytearray(content[start:])
    if rng.integers(2):
        directory = corrupt(rng, directory)
    else:
        for _ in range(rng.integers(1, 4)):
            directory[rng.integers(len(directory))] = rng.integers(256)
    place.write_bytes(content[:start] + directory)


def corrupted_header(rng, folder, place):
    """Corrupt the local headers of a zip's entries."""
    content = bytearray((folder / "a.zip").read_bytes())
    starts = [match.start() for match in re.finditer(b"PK\3\4", content)]
    for _ in range(rng.integers(1, 4)):
        content[rng.choice(starts) + rng.integers(45)] = rng.integers(256)
    place.write_bytes(content)


def strange_zip(rng, folder, place):
    """Write a zip with unsafe or duplicate names, links, compression or missing parts."""
    compression = zipfile.ZIP_DEFLATED if rng.integers(8) == 0 else zipfile.ZIP_STORED
    with zipfile.ZipFile(folder / "a.zip") as source, zipfile.ZipFile(place, "w") as made:
        entries = [(name, source.read(name)) for name in source.namelist()]
        if rng.integers(2):
            del entries[rng.integers(len(entries))]
        if rng.integers(2):
            entries.append((NAMES[rng.integers(len(NAMES))], b"stranger"))
        for position in rng.permutation(len(entries)):
            entry = zipfile.ZipInfo()
            entry.filename, content = entries[position]
            if rng.integers(8) == 0:
                entry.filename = NAMES[rng.integers(len(NAMES))]
            if rng.integers(8) == 0:
                entry.external_attr = int(rng.integers(1 << 32))
            entry.compress_type = compression
            made.writestr(entry, content)


def zip_behind_zip(rng, folder, place):
    first, last = ("a.zip", "b.zip") if rng.integers(2) else ("b.zip", "a.zip")
    front, back = (folder / first).read_bytes(), (folder / last).read_bytes()
    cut = rng.integers(3)
    front = front[: rng.integers(len(front))] if cut == 1 else front
    back = back[rng.integers(len(back)) :] if cut == 2 else back
    place.write_bytes(front + back)


def noise(rng, folder, place):
    place.write_bytes(rng.bytes(rng.integers(0, 5000)))


KINDS = [
    *[corrupted_part] * 4,
    *[parts_of_other_bundle, parts_exchanged, no_file, changed_description],
    *[resealed_description] * 3,
    *[corrupted_zip, corrupted_zip, corrupted_directory, corrupted_header, strange_zip],
    *[zip_behind_zip, noise],
]


def tiny_bundle(path):
    from seq2lite import zoo
    from seq2lite.recipes.data.pairs import read_pairs
    from seq2lite.recipes.data.samples import VSCODE_VALID
    from seq2lite.recipes.data.tokenizers import learn_tokenizer

    pairs = read_pairs(VSCODE_VALID)
    tokenizer = learn_tokenizer((text for pair in pairs for text in pair), 1000)
    model = zoo.transformer(
        vocabulary_size=1000, num_layers=1, model_dim=16, num_heads=2, feed_forward_dim=16
    )
    export.to_bundle(
        model, path, tokenizer, pairs[:4], quantization="float32", max_source_length=40
    )
    return path


if __name__ == "__main__":
    sys.exit(main())
