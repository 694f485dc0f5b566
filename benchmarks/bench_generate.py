"""Size of the files, and greedy decoding: batch 1, one thread, against Keras and CTranslate2.

    make benchmark                          # all of benchmarks/
    python benchmarks/bench_generate.py     # this one

The tiny presets with 4,000 tokens, as `make demo` trains them, and the small ones with 8,000
(Transformer 256 wide, 4 + 4 layers; RNN an LSTM of 2 x 512). Random weights that never end a
sentence: 30 tokens in, 32 out. All contenders of a model take turns of five sentences in a row; a
number is the median of all sentences. CTranslate2 runs the same weights.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

import ctranslate2_peer
from seq2lite import zoo
from seq2lite.export.convert import convert
from seq2lite.export.flatbuffer import share_equal_vectors
from seq2lite.export.ladder import quantized
from seq2lite.export.runtime import interpreter_search
from seq2lite.export.signatures import arg_max
from seq2lite.export.tflite import convert_saved, save_signatures

SOURCE_LENGTH, TARGET_LENGTH, TURN = 30, 32, 5
VOCABULARY_SIZES = {
    "transformer_tiny": 4000,
    "transformer_small": 8000,
    "rnn_tiny": 4000,
    "rnn_small": 8000,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    sizes = Table(title="Size of the file")
    for column in (
        "model",
        "parameters",
        "quantization",
        "bytes",
        "bytes/parameter",
        "of one signature",
    ):
        sizes.add_column(column, justify="right")
    speeds = Table(title="Greedy decoding, batch 1, one thread: median of all turns")
    for column in (
        "model",
        "contender",
        "ms a sentence",
        "of Keras",
        "of CTranslate2 int8",
        "tokens equal to Keras's",
    ):
        speeds.add_column(column, justify="left" if column in ("model", "contender") else "right")
    for preset, vocabulary_size in VOCABULARY_SIZES.items():
        model = endless(zoo.build(preset, vocabulary_size=vocabulary_size))
        with tempfile.TemporaryDirectory() as folder:
            bench_model(model, Path(folder), options.turns, sizes, speeds)
    console = Console(width=120)
    console.print(sizes)
    console.print(speeds)


def endless(model):
    """Random weights, biases and norms too, and a bias that lets no sentence end."""
    rng = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(variable.numpy() + rng.normal(0, 0.02, variable.shape))
    bias = model.output_projection.bias.numpy()
    bias[[model.pad_id, 1, model.start_id, model.end_id]] = -1e4
    model.output_projection.bias.assign(bias)
    return model


def bench_model(model, folder, turns, sizes, speeds):
    """Adds a model's rows to both tables."""
    contenders = {"Keras, tf.function": keras_search(model)}
    saved = save_signatures(model, folder / "saved_model")
    full = convert_saved(saved)
    for quantization in ("float32", "float16", "int8"):
        content, _ = quantized(full, quantization)
        search = interpreter_search(content, 1, quantization)
        contenders[f"{quantization} file"] = lambda source, search=search: search(
            source, TARGET_LENGTH
        )[0]
        one, _ = quantized(
            share_equal_vectors(convert(saved, signatures=["generate"])), quantization
        )
        sizes.add_row(
            model.name,
            f"{model.count_params():,}",
            quantization,
            f"{len(content):,}",
            f"{len(content) / model.count_params():.3f}",
            f"{len(content) / len(one):.3f}x",
        )
    if model.name.startswith("transformer"):
        for compute_type in ("float32", "int8"):
            path = folder / compute_type
            path.mkdir()
            ctranslate2_peer.write_model(model, path, None if compute_type == "float32" else "int8")
            peer = ctranslate2_peer.open_model(path, compute_type)
            contenders[f"CTranslate2 {compute_type}"] = lambda source, peer=peer: peer(
                source.tolist(), TARGET_LENGTH
            )
    rng = np.random.default_rng(1)
    sources = rng.integers(4, model.vocabulary_size, (turns, TURN, 1, SOURCE_LENGTH)).astype(
        np.int32
    )
    sources[..., -1] = model.end_id
    times, tokens = take_turns(contenders, sources)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    keras, peer = medians["Keras, tf.function"], medians.get("CTranslate2 int8")
    for name, seconds in medians.items():
        equal = np.mean(tokens[name] == tokens["Keras, tf.function"])
        speeds.add_row(
            model.name,
            name,
            f"{1e3 * seconds:.2f}",
            f"{keras / seconds:.2f}x",
            f"{peer / seconds:.2f}x" if peer else "",
            f"{equal:.1%}",
        )
    speeds.add_section()
    sizes.add_section()


def keras_search(model):
    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32)])
    def search(source):
        return zoo.greedy_search(model, source, TARGET_LENGTH, choose=arg_max)[0]

    return lambda source: search(source).numpy()


def take_turns(contenders, sources):
    """Name to seconds of each sentence, and name to tokens `(sentences, TARGET_LENGTH)`."""
    times = {name: [] for name in contenders}
    tokens = {name: [] for name in contenders}
    for contender in contenders.values():
        contender(sources[0, 0])
    for turn in sources:
        for name, contender in contenders.items():
            for source in turn:
                start = time.perf_counter()
                result = contender(source)
                times[name].append(time.perf_counter() - start)
                tokens[name].append(np.array(result).ravel())
    return times, {name: np.stack(rows) for name, rows in tokens.items()}


if __name__ == "__main__":
    main()
