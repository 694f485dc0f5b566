"""Static files in every runtime at hand: each signature's answers against the interpreter's.

    python benchmarks/check_devices.py [--micro PYTHON]

Two small models are converted in each mode, with the integers going in and out as they are, and run
on the same random inputs in ai_edge_litert's `Interpreter` and `CompiledModel`; and on tflite-micro,
with the Python of an environment that has it:

    python -m venv micro && micro/bin/pip install tflite-micro numpy

A run that ends its process, or takes more than a minute, is told like any other failure.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TIMEOUT = 60  # seconds of one file
ARENA = 30_000_000  # bytes, of tflite-micro
LENGTHS = {"max_source_length": 12, "max_target_length": 12}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--micro", help="a Python that has tflite_micro")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        runtime, file = options.run
        print(RUNTIMES[runtime](Path(file)))
        return
    pythons = {"CompiledModel": sys.executable, "tflite-micro": options.micro}
    with tempfile.TemporaryDirectory() as folder:
        for file in written(Path(folder)):
            for runtime, python in pythons.items():
                if python:
                    print(
                        f"{file.stem:32} {runtime:14} {answer(python, runtime, file)}", flush=True
                    )


def written(folder):
    """Files of one signature each, which is what tflite-micro runs, beside inputs and answers."""
    from seq2lite import zoo
    from seq2lite.export import static
    from seq2lite.export.quantization.modes import MODES
    from seq2lite.export.runtime.interpreter import open_interpreter
    from seq2lite.export.tflite_file import rewrites
    from seq2lite.recipes.data.pairs import read_pairs
    from seq2lite.recipes.data.samples import VSCODE_VALID
    from seq2lite.recipes.data.tokenizers import learn_tokenizer

    texts = [source for source, _ in read_pairs(VSCODE_VALID)]
    tokenizer = learn_tokenizer(texts, 500)
    models = {
        "transformer": zoo.build("transformer_tiny", vocabulary_size=500, num_layers=1),
        "gru": zoo.rnn_seq2seq(
            vocabulary_size=500, cell="gru", num_layers=1, embedding_dim=32, hidden_dim=32
        ),
    }
    for family, model in models.items():
        for mode in filter(lambda mode: mode.is_static, MODES.values()):
            content = static.convert(
                model,
                mode.name,
                **LENGTHS,
                tokenizer=tokenizer,
                calibration=texts[:32],
                integer_io=mode.has_integer_io,
            )
            for signature in ("encode", "decode_step"):
                part = rewrites.single_signature(content, signature)
                file = folder / f"{family}.{mode.name}.{signature}.tflite"
                file.write_bytes(part)
                interpreter = open_interpreter(part, 1, file.name)
                save_answers(interpreter, file, signature)
                yield file


def save_answers(interpreter, file, signature):
    """Random inputs and the interpreter's answers: arrays by name, in the order of the file."""
    run = interpreter.get_signature_runner(signature)
    rng = np.random.default_rng(0)

    def random(name, tensor):
        shape, dtype = tensor["shape"], tensor["dtype"]
        if name in ("source", "token"):
            return rng.integers(4, 500, shape).astype(dtype)
        if dtype == np.float32:
            return rng.normal(0, 1, shape).astype(dtype)
        return (
            np.full(shape, 3, dtype) if dtype == np.int32 else rng.integers(-99, 99, shape, dtype)
        )

    details = run.get_input_details()
    inputs = {name: random(name, tensor) for name, tensor in details.items()}
    outputs = run(**inputs)
    of_index = {tensor["index"]: name for name, tensor in details.items()}
    order = [of_index[tensor["index"]] for tensor in interpreter.get_input_details()]
    of_index = {t["index"]: name for name, t in run.get_output_details().items()}
    answers = [of_index[tensor["index"]] for tensor in interpreter.get_output_details()]
    np.savez(
        file.with_suffix(".npz"),
        **{f"in.{name}": inputs[name] for name in order},
        **{f"out.{name}": outputs[name] for name in answers},
    )


def answer(python, runtime, file):
    """What a process of its own says of a file in a runtime."""
    command = [python, __file__, "--run", runtime, str(file)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"FAILED: took more than {TIMEOUT} s"
    if run.returncode:
        log = (" ", "INFO", "I0000", "W0000")  # and the traceback
        lines = [line for line in run.stderr.splitlines() if not line.startswith(log)]
        return f"FAILED ({run.returncode}): {' | '.join(lines[-3:]):.300}"
    return run.stdout.strip().splitlines()[-1]


def given(file, side):
    with np.load(file.with_suffix(".npz")) as arrays:
        return {name[len(side) :]: arrays[name] for name in arrays if name.startswith(side)}


def difference(found, expected):
    """The greatest difference, in units of integers."""
    worst = max(
        np.abs(found[name].astype(np.float64) - array).max() for name, array in expected.items()
    )
    return f"differs by {worst:.3g}"


def in_compiled_model(file):
    from ai_edge_litert.compiled_model import CompiledModel

    model, signature = CompiledModel.from_file(str(file)), file.stem.split(".")[2]
    inputs, expected = given(file, "in."), given(file, "out.")
    buffers = {name: model.create_input_buffer_by_name(signature, name) for name in inputs}
    for name, array in inputs.items():
        buffers[name].write(array)
    results = {name: model.create_output_buffer_by_name(signature, name) for name in expected}
    model.run_by_name(signature, buffers, results)
    found = {
        name: results[name].read(array.size, array.dtype).reshape(array.shape)
        for name, array in expected.items()
    }
    return difference(found, expected)


def in_tflite_micro(file):
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(str(file), arena_size=ARENA)
    for place, array in enumerate(given(file, "in.").values()):
        interpreter.set_input(array, place)
    interpreter.invoke()
    expected = given(file, "out.")
    found = {name: interpreter.get_output(place) for place, name in enumerate(expected)}
    return difference(found, expected)


RUNTIMES = {"CompiledModel": in_compiled_model, "tflite-micro": in_tflite_micro}

if __name__ == "__main__":
    main()
