"""Compare static files in other runtimes with the interpreter, signature by signature.

    python benchmarks/check_devices.py [--micro PYTHON]

Two small models are converted in each mode, integer modes with integer inputs and outputs. The
files run on the same random inputs in `Interpreter` and `CompiledModel` of ai-edge-litert. With
`--micro` they also run in tflite-micro, which needs a Python environment of its own:

    python -m venv micro && micro/bin/pip install tflite-micro numpy

Each run has a process of its own. A crash or a run of more than one minute is reported as a failure.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TIMEOUT = 60  # seconds per file
ARENA_SIZE = 30_000_000  # bytes, for tflite-micro
LENGTHS = {"max_source_length": 12, "max_target_length": 12}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--micro", metavar="PYTHON", help="a Python that has tflite_micro")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        runtime, file = options.run
        print(RUNTIMES[runtime](Path(file)))
        return
    pythons = {"CompiledModel": sys.executable, "tflite-micro": options.micro}
    with tempfile.TemporaryDirectory() as folder:
        for file in write_files(Path(folder)):
            for runtime, python in pythons.items():
                if python:
                    outcome = run_in_process(python, runtime, file)
                    print(f"{file.stem:32} {runtime:14} {outcome}", flush=True)


def write_files(folder):
    """Write and yield files of one signature each: tflite-micro cannot run more."""
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
                save_arrays(interpreter, file, signature)
                yield file


def save_arrays(interpreter, file, signature):
    """Save random inputs and the interpreter's outputs by name, in the order of the file."""
    run = interpreter.get_signature_runner(signature)
    inputs = run.get_input_details()
    rng = np.random.default_rng(0)
    arrays = {name: random_array(name, tensor, rng) for name, tensor in inputs.items()}
    results = run(**arrays)
    input_names = in_order(inputs, interpreter.get_input_details())
    output_names = in_order(run.get_output_details(), interpreter.get_output_details())
    np.savez(
        file.with_suffix(".npz"),
        **{f"in.{name}": arrays[name] for name in input_names},
        **{f"out.{name}": results[name] for name in output_names},
    )


def random_array(name, tensor, rng):
    shape, dtype = tensor["shape"], tensor["dtype"]
    if name in ("source", "token"):
        return rng.integers(4, 500, shape).astype(dtype)
    if dtype == np.float32:
        return rng.normal(0, 1, shape).astype(dtype)
    return np.full(shape, 3, dtype) if dtype == np.int32 else rng.integers(-99, 99, shape, dtype)


def in_order(by_name, tensors):
    """Return the names of a signature's tensors in the order of `tensors` of its subgraph."""
    names = {tensor["index"]: name for name, tensor in by_name.items()}
    return [names[tensor["index"]] for tensor in tensors]


def run_in_process(python, runtime, file):
    """Run a file in a process of its own. Return the last line that it prints, or the failure."""
    command = [python, __file__, "--run", runtime, str(file)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"FAILED: took more than {TIMEOUT} s"
    if run.returncode:
        log = (" ", "INFO", "I0000", "W0000")  # log messages, and the lines of a traceback
        lines = [line for line in run.stderr.splitlines() if not line.startswith(log)]
        return f"FAILED ({run.returncode}): {' | '.join(lines[-3:]):.300}"
    return run.stdout.strip().splitlines()[-1]


def load_arrays(file, prefix):
    """Load the arrays whose names start with `prefix`, without it."""
    with np.load(file.with_suffix(".npz")) as arrays:
        return {name[len(prefix) :]: arrays[name] for name in arrays if name.startswith(prefix)}


def difference(outputs, expected):
    """Describe the maximum difference, in the units of the outputs."""
    maximum = max(
        np.abs(outputs[name].astype(np.float64) - array).max() for name, array in expected.items()
    )
    return f"differs by {maximum:.3g}"


def run_compiled_model(file):
    from ai_edge_litert.compiled_model import CompiledModel

    model, signature = CompiledModel.from_file(str(file)), file.stem.split(".")[2]
    inputs, expected = load_arrays(file, "in."), load_arrays(file, "out.")
    buffers = {name: model.create_input_buffer_by_name(signature, name) for name in inputs}
    for name, array in inputs.items():
        buffers[name].write(array)
    results = {name: model.create_output_buffer_by_name(signature, name) for name in expected}
    model.run_by_name(signature, buffers, results)
    outputs = {
        name: results[name].read(array.size, array.dtype).reshape(array.shape)
        for name, array in expected.items()
    }
    return difference(outputs, expected)


def run_tflite_micro(file):
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(str(file), arena_size=ARENA_SIZE)
    for index, array in enumerate(load_arrays(file, "in.").values()):
        interpreter.set_input(array, index)
    interpreter.invoke()
    expected = load_arrays(file, "out.")
    outputs = {name: interpreter.get_output(index) for index, name in enumerate(expected)}
    return difference(outputs, expected)


RUNTIMES = {"CompiledModel": run_compiled_model, "tflite-micro": run_tflite_micro}

if __name__ == "__main__":
    main()
