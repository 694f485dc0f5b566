"""Speed of decoding on one thread, relative to Keras and CTranslate2, and sizes of the files.

    make benchmark                                            # all benchmarks
    python benchmarks/bench_generate.py                       # only this one
    python benchmarks/bench_generate.py --models rnn_tiny     # only one model

Conditions: random weights with which no hypothesis ends early, sources of 30 tokens, targets of 32
or 100. The vocabulary has 8,000 tokens, and 4,000 in the tiny presets. All systems take turns, one
sentence or batch each; results are medians. CTranslate2 runs the same weights. 4-bit weights are
rounded to nearest: calibration changes their values, not their speed.
"""

import argparse
import statistics
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

import ctranslate2_peer
from seq2lite import zoo
from seq2lite.export.conversion.converter import convert_saved
from seq2lite.export.conversion.saved_model import save
from seq2lite.export.quantization.modes import quantize
from seq2lite.export.quantization.weights import store_weights, weights_of
from seq2lite.export.runtime.engine import FileEngine
from seq2lite.export.runtime.interpreter import ModelFile
from seq2lite.export.signatures.dynamic import Signatures
from seq2lite.export.signatures.lowering import arg_max
from seq2lite.export.tflite_file import flatbuffer
from timing import alternating_times

SOURCE_LENGTH, NUM_BEAMS = 30, 4
VOCABULARY_SIZES = {"transformer_tiny": 4000, "rnn_tiny": 4000}  # 8,000 in all others
MODELS = ("transformer_small", "student_tiny", "rnn_small", "transformer_tiny", "rnn_tiny")


@dataclass(frozen=True)
class Case:
    """One column of the table.

    Args:
        batch: int. Number of sentences that are decoded at once.
        length: int. Number of tokens of each target.
        beams: int, default 1. Number of beams; 1 is greedy search.
    """

    batch: int
    length: int
    beams: int = 1

    def __str__(self):
        beams = f", beam {self.beams}" if self.beams > 1 else ""
        return f"batch {self.batch}, {self.length} tokens{beams}"


CASES = (Case(1, 32), Case(1, 100), Case(8, 32), Case(8, 100), Case(1, 32, NUM_BEAMS))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--turns", type=int, default=40, help="sentences that each system decodes (default: 40)"
    )
    parser.add_argument("--models", nargs="+", default=MODELS, help="presets (default: all five)")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    console = Console(width=140)
    sizes = Table("model", "parameters", "file", "bytes", "bytes per parameter", title="Size")
    for name in options.models:
        model = zoo.build(name, vocabulary_size=VOCABULARY_SIZES.get(name, 8000))
        set_endless_weights(model)
        with tempfile.TemporaryDirectory() as folder:
            systems = open_systems(model, Path(folder), sizes)
            console.print(speed_table(model, systems, options.turns))
    console.print(sizes)


def set_endless_weights(model):
    """Randomize all weights, and set an output bias with which `end_id` is never chosen."""
    rng = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(variable.numpy() + rng.normal(0, 0.02, variable.shape))
    bias = model.output_projection.bias.numpy()
    bias[[model.pad_id, 1, model.start_id, model.end_id]] = -1e4
    model.output_projection.bias.assign(bias)


def open_systems(model, folder, sizes):
    """Return name to a function of a source and a `Case`. Add the files to the table `sizes`."""
    systems = {"Keras, tf.function": KerasSearch(model)}
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
        count = model.count_params()
        relative_size = f"{len(content) / count:.3f}"
        sizes.add_row(model.name, f"{count:,}", name, f"{len(content):,}", relative_size)
        if name != "float16":  # The interpreter computes in float32: same speed.
            systems[f"{name} file"] = partial(run_file, open_searches(content))
    sizes.add_section()
    if model.name.startswith("transformer"):
        (folder / "peer").mkdir()
        ctranslate2_peer.write_model(model, folder / "peer", "int8")
        translator = ctranslate2_peer.open_translator(folder / "peer", "int8")
        systems["CTranslate2 int8"] = partial(run_ctranslate2, translator)
    return systems


def open_searches(content):
    """Return the greedy and the beam search of a file, by number of beams."""
    engine = FileEngine(ModelFile(content))
    return {1: engine.greedy, NUM_BEAMS: engine.beam}


def run_file(searches, source, case):
    return searches[case.beams](source, case.length)[0]


def run_ctranslate2(translator, source, case):
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
    """Greedy and beam search of a Keras model in a `tf.function`."""

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


def speed_table(model, systems, turns):
    """Return a table of all systems and CASES."""
    title = f"{model.name}: ms, and speed relative to Keras and to CTranslate2"
    table = Table("", *map(str, CASES), title=title)
    rng = np.random.default_rng(1)
    medians = {}
    for case in CASES:
        shape = (max(5, turns // case.batch), case.batch, SOURCE_LENGTH)
        sources = rng.integers(4, model.vocabulary_size, shape).astype(np.int32)
        sources[..., -1] = model.end_id
        times = alternating_times(systems, [(source, case) for source in sources])
        medians[case] = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name in systems:
        table.add_row(name, *(format_cell(medians[case], name) for case in CASES))
    return table


def format_cell(medians, name):
    ratios = [
        f"{medians[other] / medians[name]:.2f}x"
        for other in ("Keras, tf.function", "CTranslate2 int8")
        if other in medians
    ]
    return f"{1e3 * medians[name]:.2f}  {' '.join(ratios)}"


if __name__ == "__main__":
    main()
