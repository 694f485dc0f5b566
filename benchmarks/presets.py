"""Print the presets table of docs/reference/zoo.md: every preset exported to int8 and run.

    make presets                               # all presets: 15 minutes
    python benchmarks/presets.py gnmt          # one preset

Parameters and products are counted with the vocabulary of the paper, with 32,000 tokens for students
and 8,000 for the small presets. FLOPs are two per multiplication of a matrix product, as counted by
PyTorch under Keras's PyTorch backend, with 32 source tokens. The products of the decoder's own
attention, which grow with the generated tokens, are computed as sums and are not included. The
int8 file runs for eight steps, and its logits are compared with Keras.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

from seq2lite import zoo

# Source and target vocabulary of the papers; DEFAULT for the others.
VOCABULARY_SIZES = {
    "transformer_base": (37_000, 37_000),
    "transformer_big": (37_000, 37_000),
    "sutskever_2014": (160_000, 80_000),
    "bahdanau_2015": (30_000, 30_000),
    "luong_2015": (50_000, 50_000),
    "gnmt": (32_000, 32_000),
    "student_tiny": (32_000, 32_000),
    "student_base": (32_000, 32_000),
}
DEFAULT = (8_000, 8_000)
SOURCE_LENGTH, STEPS = 32, 8


def main():
    if sys.argv[1:2] == ["--flops"]:
        return print_flops(sys.argv[2])
    if sys.argv[1:2] == ["--export"]:
        return print_export(sys.argv[2])
    print(
        "| preset | vocabulary | parameters | int8 file, MB | encode, MFLOP per token | step, MFLOP | "
        "int8 logit error |\n|---|---|---|---|---|---|---|"
    )
    for preset in sys.argv[1:] or zoo.list_presets():
        source_size, size = VOCABULARY_SIZES.get(preset, DEFAULT)
        vocabulary = f"{size:,}" if source_size == size else f"{source_size:,} + {size:,}"
        parameters, encode, step = run("torch", "--flops", preset)
        size, error = run("tensorflow", "--export", preset)
        print(
            f"| `{preset}` | {vocabulary} | {int(parameters):,} | {int(size) / 1e6:,.1f} | "
            f"{float(encode):.1f} | {float(step):.1f} | {float(error):.2%} |",
            flush=True,
        )


def run(backend, *arguments):
    """Run this file in a separate process, which frees its memory, and return its last line."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, "KERAS_BACKEND": backend},
        stdout=subprocess.PIPE,
        text=True,
        timeout=3000,
        check=True,
    )
    return done.stdout.split("\n")[-2].split()


def build(preset):
    source_size, size = VOCABULARY_SIZES.get(preset, DEFAULT)
    return zoo.build(preset, vocabulary_size=size, source_vocabulary_size=source_size)


def print_flops(preset):
    """Print the parameters, and the MFLOP of encoding one of 32 tokens and of one step."""
    from torch.utils.flop_counter import FlopCounterMode

    model = build(preset)
    source = np.full((1, SOURCE_LENGTH), 5, "int32")
    with FlopCounterMode(display=False) as encode:
        state = model.encode(source)
    with FlopCounterMode(display=False) as step:
        model.decode_step(np.array([5]), state)
    encode = encode.get_total_flops() / SOURCE_LENGTH / 1e6
    print(model.count_params(), encode, step.get_total_flops() / 1e6)


def print_export(preset):
    """Print the bytes of the int8 file, and its maximum logit error relative to the largest logit."""
    from seq2lite import export
    from seq2lite.export.runtime.interpreter import open_interpreter

    keras.utils.set_random_seed(0)
    model = build(preset)
    rng = np.random.default_rng(0)
    source = rng.integers(4, 8000, (1, SOURCE_LENGTH)).astype("int32")
    target = rng.integers(4, 8000, (1, STEPS)).astype("int32")
    expected = np.array(model({"source": source, "target": target}))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        export.to_tflite(model, path)
        size = path.stat().st_size
        del model
        interpreter = open_interpreter(path.read_bytes(), 1, preset)
    decode_step = interpreter.get_signature_runner("decode_step")
    state = interpreter.get_signature_runner("encode")(source=source)
    logits = []
    for token in target.T:
        state = decode_step(token=token, **state)
        logits.append(state.pop("logits"))
    error = np.abs(np.stack(logits, axis=1) - expected).max() / np.abs(expected).max()
    print(size, error)


if __name__ == "__main__":
    main()
