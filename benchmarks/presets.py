"""The table of presets in docs/reference/zoo.md: all presets at their published size, in int8.

    make presets                               # all of them, in 15 minutes
    python benchmarks/presets.py gnmt          # only one

Vocabularies are those of the papers, 32,000 tokens for the students and 8,000 for the small
presets. PyTorch's FLOP counter counts matrix products (two per multiplication) with 32 source
tokens. It excludes the decoder's self-attention, whose cost grows with the target. The int8 file
runs eight steps, and its logits are compared with those of Keras.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

from seq2lite import zoo

# Source and target vocabulary sizes of the papers. All other presets have DEFAULT_SIZES.
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
DEFAULT_SIZES = (8_000, 8_000)
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
        source_size, size = VOCABULARY_SIZES.get(preset, DEFAULT_SIZES)
        vocabulary = f"{size:,}" if source_size == size else f"{source_size:,} + {size:,}"
        parameters, encode, step = run("torch", "--flops", preset)
        size, error = run("tensorflow", "--export", preset)
        print(
            f"| `{preset}` | {vocabulary} | {int(parameters):,} | {int(size) / 1e6:,.1f} | "
            f"{float(encode):.1f} | {float(step):.1f} | {float(error):.2%} |",
            flush=True,
        )


def run(backend, *arguments):
    """Run this file in a process of its own, which frees its memory; return the last line."""
    process = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, "KERAS_BACKEND": backend},
        stdout=subprocess.PIPE,
        text=True,
        timeout=3000,
        check=True,
    )
    return process.stdout.split("\n")[-2].split()


def build(preset):
    source_size, size = VOCABULARY_SIZES.get(preset, DEFAULT_SIZES)
    return zoo.build(preset, vocabulary_size=size, source_vocabulary_size=source_size)


def print_flops(preset):
    """Print parameters, MFLOP of encoding per token, and MFLOP of one step."""
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
    """Print the bytes of the int8 file and its maximum logit error, relative to the largest logit."""
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
