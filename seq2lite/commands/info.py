"""Describe a bundle or a TFLite file: signatures, sizes, search, minimum runtime, ops.

seq2lite info runs/mine/int8
seq2lite info model.tflite
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from seq2lite.export.runtime.checks import quote
from seq2lite.export.runtime.container import MODEL_FILE, describe_search, read_container
from seq2lite.export.tflite_file import flatbuffer
from seq2lite.export.tflite_file.metadata import DESCRIPTION, read_metadata
from seq2lite.export.tflite_file.signatures import describe_signatures
from seq2lite.export.tflite_file.versions import stated_runtime
from seq2lite.parser import Parser


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    parser = Parser("seq2lite info", __doc__)
    parser.add_argument("path", help="bundle (folder or zip) or TFLite file", type=Path)
    path = parser.parse_args(arguments).path
    if path.is_file() and path.suffix != ".zip":
        lines = describe_file(path, path.read_bytes())
    else:
        lines = describe_bundle(path)
    print("\n".join(lines), flush=True)


def describe_bundle(path: Path) -> Iterator[str]:
    """Yield the lines that describe a bundle.

    Raises:
        BundleError: The bundle is missing or corrupted.
    """
    container = read_container(path)
    yield f"{path}: bundle"
    yield from _facts(container.description)
    yield "files"
    sizes = {name: f"{len(content):,} bytes" for name, content in container.parts.items()}
    yield from _lines(sizes)
    yield from _tables(container.part(MODEL_FILE))


def describe_file(path: Path, content: bytes) -> Iterator[str]:
    """Yield the lines that describe a TFLite file.

    Args:
        path: Name of the file, for messages.
        content: Its bytes.

    Raises:
        ValueError: It is not a TFLite file, or it is corrupted.
    """
    if content[4:8] != b"TFL3":
        raise ValueError(
            "`path` must be a bundle or a TFLite file. "
            f"Received: {path}, which begins with {quote(content[:8])}"
        )
    try:
        metadata = read_metadata(content)
        tables = list(_tables(content))
    # A corrupted file makes flatbuffers and zipfile raise undocumented exceptions.
    except Exception as error:
        raise ValueError(f"{path} must be a valid TFLite file. Received: {error!r}") from error
    yield f"{path}: TFLite file, {len(content):,} bytes"
    if metadata and DESCRIPTION in metadata["files"]:  # written by this package
        yield from _facts(json.loads(metadata["files"][DESCRIPTION]))
    yield from tables


def _facts(description):
    """Yield the entries of bundle.json that matter to a caller; those of older files may lack some."""
    has = description.get
    facts = {
        "model": has("name"),
        "parameters": has("num_parameters") and f"{has('num_parameters'):,}",
        "languages": has("languages") and " to ".join(has("languages")),
        "quantization mode": has("quantization"),
        "search": has("search") and describe_search(**has("search")),
        "source": has("max_source_length") and f"at most {has('max_source_length')} tokens",
        "target": has("max_target_length") and f"at most {has('max_target_length')} tokens",
        "vocabulary": has("vocabulary_size") and f"{has('vocabulary_size'):,} subwords",
        "exported by": ", ".join(
            f"{name} {number}" for name, number in has("versions", {}).items()
        ),
    }
    yield from _lines({name: value for name, value in facts.items() if value})


def _tables(content):
    """Yield the facts of a file's tables: minimum runtime, ops, and each signature."""
    model = flatbuffer.read(content)
    ops = Counter(
        flatbuffer.op_name(model, operator)
        for graph in model.subgraphs
        for operator in graph.operators
    )
    counts = ", ".join(f"{name} {count}" for name, count in ops.most_common())
    yield "model"
    yield from _lines(
        {
            "minimum runtime": f"TFLite {stated_runtime(content) or 'unknown'}",
            "graphs": len(model.subgraphs),
            "ops": f"{ops.total():,}: {counts}",
        }
    )
    for name, signature in describe_signatures(content).items():
        yield f"signature {name}"
        for side in ("inputs", "outputs"):
            for tensor, facts in signature[side].items():
                sizes = ["any" if size < 0 else str(size) for size in facts["shape"]]
                yield f"  {side[:-1]:<8}{tensor:<22}{facts['dtype']} ({', '.join(sizes)})"


def _lines(facts):
    return (f"  {name:<19}{value}" for name, value in facts.items())
