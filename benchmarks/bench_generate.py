"""Decoding on one thread, against Keras and CTranslate2: greedy and beam search, and the files' size.

    make benchmark                                            # all of benchmarks/
    python benchmarks/bench_generate.py                       # this one
    python benchmarks/bench_generate.py --models rnn_tiny     # one model of it

Random weights that never end a sentence; 30 tokens in, 32 or 100 out; 8,000 tokens of vocabulary, 4,000
for the tiny presets. All contenders of a model take turns, a sentence or a batch each; a number is the
median of all. CTranslate2 runs the same weights. 4-bit weights are rounded to the nearest:
calibration changes their values, not their speed.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

import ctranslate2_peer
from seq2lite import zoo
from seq2lite.export.conversion.convert import convert_saved
from seq2lite.export.conversion.saved_model import save
from seq2lite.export.quantization.modes import quantize
from seq2lite.export.quantization.weights import store_weights, weights_of
from seq2lite.export.runtime.interpreter import interpreter_search
from seq2lite.export.signatures.dynamic import Signatures
from seq2lite.export.signatures.lowering import arg_max
from seq2lite.export.tflite_file import flatbuffer

SOURCE_LENGTH, NUM_BEAMS = 30, 4
VOCABULARY_SIZES = {"transformer_tiny": 4000, "rnn_tiny": 4000}  # others: 8,000
MODELS = ("transformer_small", "student_tiny", "rnn_small", "transformer_tiny", "rnn_tiny")


@dataclass(frozen=True)
class Case:
    """What all contenders do: so many sentences at once, so many tokens each."""

    batch: int
    length: int
    beams: int = 1

    def __str__(self):
        beams = f", beam {self.beams}" if self.beams > 1 else ""
        return f"batch {self.batch}, {self.length} tokens{beams}"


CASES = (Case(1, 32), Case(1, 100), Case(8, 32), Case(8, 100), Case(1, 32, NUM_BEAMS))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--models", nargs="+", default=MODELS)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    console = Console(width=140)
    sizes = Table("model", "parameters", "file", "bytes", "bytes a parameter", title="Size")
    for name in options.models:
        model = endless(zoo.build(name, vocabulary_size=VOCABULARY_SIZES.get(name, 8000)))
        with tempfile.TemporaryDirectory() as folder:
            contenders = open_contenders(model, Path(folder), sizes)
            console.print(race(model, contenders, options.turns))
    console.print(sizes)


def endless(model):
    """Random weights, biases and norms too, and a bias that lets no sentence end."""
    rng = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(variable.numpy() + rng.normal(0, 0.02, variable.shape))
    bias = model.output_projection.bias.numpy()
    bias[[model.pad_id, 1, model.start_id, model.end_id]] = -1e4
    model.output_projection.bias.assign(bias)
    return model


def open_contenders(model, folder, sizes):
    """Name to a function of a source and a `Case`; adds the files' sizes to a table."""
    contenders = {"Keras, tf.function": KerasSearch(model)}
    signatures = Signatures(model, num_beams=NUM_BEAMS)
    save(signatures, folder / "saved_model")
    full = convert_saved(folder / "saved_model")
    four_bit = {weight.buffer: "int4" for weight in weights_of(flatbuffer.read(full))}
    files = {
        "float32": full,
        "float16": quantize(full, "float16")[0],
        "int8": quantize(full, "int8")[0],
        "int4": store_weights(full, four_bit),
    }
    for name, content in files.items():
        number = len(content) / model.count_params()
        sizes.add_row(
            model.name, f"{model.count_params():,}", name, f"{len(content):,}", f"{number:.3f}"
        )
        if name != "float16":  # as fast as float32
            contenders[f"{name} file"] = partial(run_file, open_searches(content))
    sizes.add_section()
    if model.name.startswith("transformer"):
        (folder / "peer").mkdir()
        ctranslate2_peer.write_model(model, folder / "peer", "int8")
        translator = ctranslate2_peer.open_translator(folder / "peer", "int8")
        contenders["CTranslate2 int8"] = partial(run_peer, translator)
    return contenders


def open_searches(content):
    """A file's greedy and beam search."""
    return {
        beams: interpreter_search(content, 1, name, name)
        for beams, name in ((1, "generate"), (NUM_BEAMS, "generate_beam"))
    }


def run_file(searches, source, case):
    return searches[case.beams](source, case.length)[0]


def run_peer(translator, source, case):
    results = translator.translate_batch(
        [ctranslate2_peer.tokens(row) for row in source.tolist()],
        beam_size=case.beams,
        num_hypotheses=case.beams,
        max_decoding_length=case.length,
        return_scores=case.beams > 1,
        return_end_token=False,
    )
    return [[int(name) for name in result.hypotheses[0]] for result in results]


class KerasSearch:
    """The same searches in a `tf.function`."""

    def __init__(self, model):
        ids = tf.TensorSpec((None, None), tf.int32)
        length = tf.TensorSpec((), tf.int32)

        @tf.function(input_signature=[ids, length])
        def greedy(source, length):
            return zoo.greedy_search(model, source, length, choose=arg_max)[0]

        @tf.function(input_signature=[ids, length])
        def beam(source, length):
            return zoo.beam_search(
                model, source, length, num_beams=NUM_BEAMS, num_hypotheses=NUM_BEAMS
            )[0]

        self.searches = {1: greedy, NUM_BEAMS: beam}

    def __call__(self, source, case):
        return self.searches[case.beams](source, case.length).numpy()


def race(model, contenders, turns):
    """A table of a model's contenders and CASES."""
    table = Table("", *map(str, CASES), title=f"{model.name}: ms; ratio to Keras, to CTranslate2")
    rng = np.random.default_rng(1)
    medians = {}
    for case in CASES:
        shape = (max(5, turns // case.batch), case.batch, SOURCE_LENGTH)
        sources = rng.integers(4, model.vocabulary_size, shape).astype(np.int32)
        sources[..., -1] = model.end_id
        times = {name: [] for name in contenders}
        for run in contenders.values():
            run(sources[0], case)
        for source in sources:
            for name, run in contenders.items():
                start = time.perf_counter()
                run(source, case)
                times[name].append(time.perf_counter() - start)
        medians[case] = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name in contenders:
        table.add_row(name, *(_cell(medians[case], name) for case in CASES))
    return table


def _cell(medians, name):
    ratios = [
        f"{medians[other] / medians[name]:.2f}x"
        for other in ("Keras, tf.function", "CTranslate2 int8")
        if other in medians
    ]
    return f"{1e3 * medians[name]:.2f}  {' '.join(ratios)}"


if __name__ == "__main__":
    main()
