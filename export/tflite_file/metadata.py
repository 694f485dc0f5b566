"""TFLite metadata: descriptions of a file's tensors for other tools, and its tokenizer.

The tables are those of tflite-support's metadata_schema.fbs (identifier M001), written by field
number: that package cannot be installed beside TensorFlow.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from importlib.metadata import version

import flatbuffers
from flatbuffers.table import Table

from ..runtime.container import TOKENIZER_FILE
from ..runtime.tokenizer import Tokenizers
from . import flatbuffer

DESCRIPTION = "description.json"  # in the zip
_IDENTIFIER = b"M001"
_PARSER = "1.1.0"  # the oldest metadata parser that knows all fields used here
_DESCRIPTIONS, _VOCABULARY = 1, 5  # AssociatedFileType
_SENTENCEPIECE = 5  # ProcessUnitOptions
_FEATURE = 1  # ContentProperties
_TIME = (1980, 1, 1, 0, 0, 0)  # constant, so that the same model gives the same file
_SIGNATURES = {
    "generate": "Greedy search: ids of source texts to ids of target texts.",
    "generate_beam": "Beam search: ids of source texts to the ids of the best targets of each.",
    "encode": "Ids of source texts to the state before the first step.",
    "decode_step": "The last token and the state to the next token's logits and the next state.",
    "translate": "The search of the export: a text to its best target text.",
    "translate_beam": "The search of the export: a text to its best target texts, with scores.",
    "tokenize": "A text to the ids of its subwords, without start and end.",
    "detokenize": "Ids to their text.",
}


@dataclass(frozen=True)
class _Meaning:
    """Content, unit and dimensions of a tensor."""

    text: str
    unit: str
    dimensions: tuple = ()


_MEANINGS = {
    "source": _Meaning(
        "Source texts, each ended by end_id and padded with pad_id",
        "token ids",
        ("batch", "source_length"),
    ),
    "max_length": _Meaning(
        "Maximum number of tokens to generate for a text; 0 with a text: max_target_length",
        "tokens",
    ),
    "tokens": _Meaning(
        "Target texts, without start and end, padded with pad_id", "token ids", ("batch", "length")
    ),
    "length": _Meaning(
        "Length of the text, of the ids or of each row; the rest is padding. As the output of a "
        "signature over text: -1 - length if something was cut",
        "elements",
    ),
    "token": _Meaning("The last token of each text, start_id at first", "token ids", ("batch",)),
    "logits": _Meaning(
        "Logarithm of each token's probability, up to a constant per row",
        "nats",
        ("batch", "vocabulary_size"),
    ),
    "attention": _Meaning(
        "Attention weights over the source, zero at padding",
        "weights, sum 1",
        ("batch", "source_length"),
    ),
    "position": _Meaning("Number of tokens read so far", "tokens", ("batch",)),
    "scores": _Meaning("Score of each target text; the highest is the best", "nats"),
    "text": _Meaning("Text in UTF-8, NFC, padded with zeros", "bytes", ("bytes",)),
    "ids": _Meaning("Subwords of a text, padded with zeros", "token ids", ("length",)),
}
_STATE = _Meaning(
    "State: an output of one call, and the input of the same name of the next", "none"
)


def with_metadata(content, description, tokenizer):
    """Add metadata and the tokenizer to a file.

    `TFLITE_METADATA` contains the model's name and special ids. For each signature it contains the
    names, descriptions, types, shapes and units of the tensors. A zip at the end of the file, which
    interpreters ignore, contains `tokenizer.model` and `description.json`; `target_tokenizer.model`
    too if the target has a tokenizer of its own.

    Call it last: writing the tables again drops the zip.

    Args:
        content: The file's bytes. Existing metadata is replaced.
        description: dict of `name` and other facts of the model (special ids, lengths, languages),
            with values that JSON can represent.
        tokenizer: `Tokenizer`, a pair of them (source, target), or `Tokenizers`.

    Returns:
        The bytes of the new file.

    Example:
        >>> from seq2lite.export.tflite_file.metadata import read_metadata, with_metadata
        >>> content = (bundle / "model.tflite").read_bytes()
        >>> content = with_metadata(content, {"name": "mine"}, tokenizer)
        >>> sorted(read_metadata(content)["files"])
        ['description.json', 'tokenizer.model']
    """
    model, tokenizers = flatbuffer.read(content), Tokenizers.of(tokenizer)
    builder = flatbuffers.Builder(1024)
    table = _write(builder, _model_table(model, description, tokenizers))
    builder.Finish(table, file_identifier=_IDENTIFIER)
    flatbuffer.set_metadata(model, flatbuffer.METADATA, bytes(builder.Output()))
    file = io.BytesIO()
    file.write(flatbuffer.write(model))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        text = json.dumps(description, ensure_ascii=False, indent=1)
        archive.writestr(zipfile.ZipInfo(DESCRIPTION, _TIME), text)
        for name, model_bytes in tokenizers.files.items():
            archive.writestr(zipfile.ZipInfo(name, _TIME), model_bytes)
    return file.getvalue()


def read_metadata(content: bytes) -> dict | None:
    """Read the metadata of a file.

    Args:
        content: The file's bytes.

    Returns:
        dict of `name`, `description`, `version`, `signatures` (name to its `description`, `inputs` and
        `outputs`, each name to text) and `files` (name to bytes). None if the file has no metadata.
    """
    data = flatbuffer.read_metadata(flatbuffer.read(content), flatbuffer.METADATA)
    if data is None:
        return None
    root = _Reader(data, int.from_bytes(data[:4], "little"))
    signatures = {
        graph.text(0): {
            "description": graph.text(1),
            "inputs": {tensor.text(0): tensor.text(1) for tensor in graph.tables(2)},
            "outputs": {tensor.text(0): tensor.text(1) for tensor in graph.tables(3)},
        }
        for graph in root.tables(3)
        if graph.text(0) is not None
    }
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return {
        "name": root.text(0),
        "description": root.text(1),
        "version": root.text(2),
        "signatures": signatures,
        "files": files,
    }


def _model_table(model, description, tokenizers):
    """ModelMetadata, as field number to value."""
    ids = ", ".join(f"{name} {number}" for name, number in tokenizers.vocabulary.items())
    signatures = {entry.subgraphIndex: entry for entry in model.signatureDefs}
    # Readers match by position: the graphs without a signature, such as loop bodies, get empty tables.
    graphs = [
        _graph_table(graph, signatures[index]) if index in signatures else {}
        for index, graph in enumerate(model.subgraphs)
    ]
    files = [_tokenizer_table(name) for name in tokenizers.files]
    return {
        0: description["name"],
        1: f"Sequence-to-sequence model over SentencePiece ids ({TOKENIZER_FILE}; text in NFC): {ids}.",
        2: version("seq2lite"),
        3: graphs,
        6: [*files, {0: DESCRIPTION, 1: "Special ids and lengths", 2: _DESCRIPTIONS}],
        7: _PARSER,
    }


def _tokenizer_table(name):
    return {0: name, 1: "SentencePiece model", 2: _VOCABULARY}


def _graph_table(graph, signature):
    """SubGraphMetadata."""
    name = signature.signatureKey.decode()
    table = {
        0: name,
        1: _SIGNATURES.get(name, name),
        2: _tensor_tables(graph, graph.inputs, signature.inputs),
        3: _tensor_tables(graph, graph.outputs, signature.outputs),
    }
    if any(entry.name == b"source" for entry in signature.inputs):
        table[5] = [{0: _SENTENCEPIECE, 1: {0: [_tokenizer_table(TOKENIZER_FILE)]}}]
    return table


def _tensor_tables(graph, indices, entries):
    """TensorMetadata of a graph's inputs or outputs, in their order: readers match by position."""
    names = {}
    for entry in entries:  # one tensor can be several outputs
        names.setdefault(entry.tensorIndex, []).append(entry.name.decode())
    return [_tensor_table(graph.tensors[index], names[index].pop(0)) for index in indices]


def _tensor_table(tensor, name):
    """TensorMetadata."""
    meaning = _MEANINGS.get(name, _STATE)
    kind = flatbuffer.TYPE_NAMES[tensor.type].lower()
    sizes = flatbuffer.shape_of(tensor)
    labels = list(meaning.dimensions) if len(meaning.dimensions) == len(sizes) else []
    dimensions = ", ".join("any" if size < 0 else str(size) for size in sizes)
    if labels:
        dimensions = f"{dimensions}: {', '.join(labels)}"
    table = {
        0: name,
        1: f"{meaning.text}. {kind} ({dimensions}); unit: {meaning.unit}.",
        3: {0: _FEATURE, 1: {}},
    }
    return table | ({2: labels} if labels else {})


def _write(builder, fields):
    """Write a flatbuffer table: field number to str, byte, table, or a list of str or tables."""
    placed = {}
    for field, value in fields.items():
        if isinstance(value, list):
            offsets = [_write_item(builder, item) for item in value]
            builder.StartVector(4, len(offsets), 4)
            for offset in reversed(offsets):
                builder.PrependUOffsetTRelative(offset)
            placed[field] = builder.EndVector()
        elif not isinstance(value, int):
            placed[field] = _write_item(builder, value)
    builder.StartObject(max(fields, default=-1) + 1)
    for field, value in fields.items():
        if field in placed:
            builder.PrependUOffsetTRelativeSlot(field, placed[field], 0)
        else:
            builder.PrependUint8Slot(field, value, 0)
    return builder.EndObject()


def _write_item(builder, item):
    return builder.CreateString(item) if isinstance(item, str) else _write(builder, item)


class _Reader:
    """A flatbuffer table whose fields are read by number."""

    def __init__(self, data, position):
        self._table = Table(data, position)

    def text(self, field):
        offset = self._table.Offset(4 + 2 * field)
        return self._table.String(self._table.Pos + offset).decode() if offset else None

    def tables(self, field):
        offset = self._table.Offset(4 + 2 * field)
        if not offset:
            return
        start = self._table.Vector(offset)
        for item in range(self._table.VectorLen(offset)):
            yield _Reader(self._table.Bytes, self._table.Indirect(start + 4 * item))
