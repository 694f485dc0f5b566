"""The speed of a TFLite file or a SavedModel, in tokens/s on one thread.

Each is measured in a process of its own, which inherits no threads. Both run the loop of `generate` for
the same number of tokens, in a copy of the graph without an end token: as many tokens as Keras
generates for real text, and fixed numbers of tokens, to compare models with each other.
"""

import os
import statistics
import time

import numpy as np

from ..runtime.engine import FileEngine
from ..runtime.interpreter import ModelFile
from ..system.atomic import scratch_folder
from ..system.isolation import ConversionError
from ..tflite_file import flatbuffer

PASSES = 3
GRID = tuple((batch, length) for batch in (1, 8) for length in (32, 100))


def speed(model, one, *, source, lengths, steps, ids):
    """Measure the speed of a file or a SavedModel.

    Args:
        model: Path of the file, or of the SavedModel's folder.
        one: Source of `measure_grid`.
        source: As in `tokens_per_second`, with `lengths` and `steps`.
        lengths: As in `tokens_per_second`.
        steps: As in `tokens_per_second`.
        ids: dict of `pad_id`, `start_id`, `end_id` and `padding`, the value that pads sources.

    Returns:
        dict of `tokens_per_second` and `grid`, the result of `measure_grid`.
    """
    if model.is_dir():
        with scratch_folder() as folder:
            copy = endless_saved_model(model, ids["end_id"], folder / "endless")
            search = saved_model_search(copy)
    else:
        search = endless_search(model.read_bytes(), model, ids)
    rate = tokens_per_second(search, source, lengths, steps)
    return {"tokens_per_second": float(rate), "grid": measure_grid(search, one)}


def saved_model_search(folder):
    """Load the `generate` of a SavedModel, in TensorFlow on one thread."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["generate"]

    def search(source, max_length):
        result = signature(
            source=tf.constant(source), max_length=tf.constant(int(max_length), tf.int32)
        )
        return result["tokens"].numpy(), result["length"].numpy()

    search.loaded = loaded  # keeps the variables alive
    return search


def tokens_per_second(search, source, lengths, steps):
    """Measure the speed at batch 1, as the median of several passes after one to warm up.

    Args:
        search: Greedy search without an end token, as `FileEngine.greedy`.
        source: `(n, source_length)` ids or `(n, source_length, features)`.
        lengths: int `(n,)`, length of each source.
        steps: int `(n,)`, number of tokens to generate for each source.
    """
    rates = []
    for _ in range(PASSES + 1):
        start = time.perf_counter()
        for row, length, count in zip(source, lengths, steps, strict=True):
            search(row[None, :length], int(count))
        rates.append(sum(steps) / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def measure_grid(search, source, grid=GRID):
    """Measure the speed for pairs of batch and target length.

    Args:
        search: Search without an end token, of `endless` or `endless_saved_model`.
        source: `(1, source_length)` ids or `(1, source_length, features)`, for all rows of a batch.
        grid: (batch, target length) pairs.

    Returns:
        List of dicts of `batch`, `length`, `seconds` (median of a call) and `tokens_per_second`.

    Raises:
        ConversionError: A search ended early.
    """
    found = []
    for batch, length in grid:
        rows, seconds = np.repeat(source, batch, axis=0), []
        for _ in range(PASSES + 1):
            start = time.perf_counter()
            _, lengths = search(rows, length)
            seconds.append(time.perf_counter() - start)
        if not (lengths == length).all():
            raise ConversionError(
                f"`generate` must generate {length} tokens for each source. Received: {lengths}"
            )
        median = statistics.median(seconds[1:])
        found.append(
            {
                "batch": batch,
                "length": length,
                "seconds": median,
                "tokens_per_second": batch * length / median,
            }
        )
    return found


def endless_search(content, name, ids):
    """The search of a file without an end token, on one thread."""
    engine = FileEngine(ModelFile(content, 1, name), {**ids, "end_id": -1})
    if not engine.is_static:
        return FileEngine(ModelFile(endless(content, ids["end_id"]), 1, name)).greedy
    engine.max_tokens = None  # only the time matters, not the tokens
    return engine.greedy


def endless(content, end_id):
    """Rewrite a file so that its loops run to `max_length`.

    The loops compare the result of ARG_MAX with the constant `end_id`. The rewritten ones compare it
    with -1.

    Args:
        content: bytes of the file.
        end_id: int.

    Returns:
        bytes of the rewritten file.

    Raises:
        ConversionError: There is no such comparison.
    """
    model = flatbuffer.read(content)
    never = flatbuffer.add_buffer(model, np.array([-1], np.int32))
    end, changed = np.int32(end_id).tobytes(), 0
    for graph in model.subgraphs:
        chosen = {
            index
            for operator in graph.operators
            if flatbuffer.op_name(model, operator) == "ARG_MAX"
            for index in operator.outputs
        }
        for operator in graph.operators:
            if flatbuffer.op_name(model, operator) not in ("EQUAL", "NOT_EQUAL"):
                continue
            for index, other in (operator.inputs, operator.inputs[::-1]):
                tensor = graph.tensors[other]
                data = model.buffers[tensor.buffer].data
                if index in chosen and data is not None and bytes(data) == end:
                    made = flatbuffer.add_tensor(
                        graph, name=b"never", shape=tensor.shape, type=tensor.type, buffer=never
                    )
                    operator.inputs = np.where(operator.inputs == other, made, operator.inputs)
                    changed += 1
                    break
    if not changed:
        raise ConversionError(f"The file must compare its tokens with end_id={end_id}")
    return flatbuffer.write(model)


def endless_saved_model(folder, end_id, copy):
    """Write a SavedModel with the same weights whose loops run to `max_length`; return `copy`."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    copy.mkdir()
    for part in folder.iterdir():
        if part.name != "saved_model.pb":
            os.symlink(part.resolve(), copy / part.name)
    saved = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    changed = 0
    for graph in saved.meta_graphs:
        for function in graph.graph_def.library.function:
            nodes = {node.name: node for node in function.node_def}
            for node in function.node_def:
                if node.op not in ("Equal", "NotEqual"):
                    continue
                compared = [nodes.get(name.partition(":")[0]) for name in node.input[:2]]
                for chosen, end in (compared, compared[::-1]):
                    if chosen is None or end is None or _origin(chosen, nodes) != "ArgMax":
                        continue
                    value = end.attr["value"].tensor if end.op == "Const" else None
                    if value is not None and list(value.int_val) == [end_id]:
                        value.int_val[0] = -1
                        changed += 1
    if not changed:
        raise ConversionError(f"The SavedModel must compare its tokens with end_id={end_id}")
    (copy / "saved_model.pb").write_bytes(saved.SerializeToString())
    return copy


def _origin(node, nodes):
    """The op that computes the value of a node, behind copies and casts."""
    while node.op in ("Identity", "Cast") and node.input[0].partition(":")[0] in nodes:
        node = nodes[node.input[0].partition(":")[0]]
    return node.op
