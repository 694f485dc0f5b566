"""Training speed of one recipe under TensorFlow, under JAX, and under JAX in two processes.

    python benchmarks/distributed.py [--output runs/distributed]

The two processes run on one host and share its cores. The benchmark measures the overhead of
distribution, not its gain.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

RECIPE = ["-m", "seq2lite.recipes.translate", "--preset", "transformer_tiny", "--max-length", "32"]
RECIPE += ["--epochs", "3", "--score-pairs", "0", "--batch-tokens", "4096", "--quantizations"]
ADDRESS = "127.0.0.1:4321"


def run(folder, backend, num_processes):
    """Run the recipe. Return its total seconds and the tokens/s of its last epoch."""
    start, processes = time.perf_counter(), []
    for index in range(num_processes):
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if num_processes > 1:
            environment |= {
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": ADDRESS,
                "KERAS_DISTRIBUTION_NUM_PROCESSES": str(num_processes),
                "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
            }
        command = [sys.executable, *RECIPE, "--output", str(folder), "--overwrite"]
        pipe = subprocess.PIPE if index == 0 else subprocess.DEVNULL
        processes.append(
            subprocess.Popen(command, env=environment, stdout=pipe, stderr=sys.stderr, text=True)
        )
    output, _ = processes[0].communicate(timeout=3600)
    if any(process.wait() for process in processes):
        sys.exit(f"error: a process with backend {backend} failed. Its output: {output}")
    rates = re.findall(r"([\d,]+) tokens/s", output)
    return time.perf_counter() - start, rates[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=Path, default=Path("runs/distributed"), help="folder of the runs"
    )
    folder = parser.parse_args().output
    print("| backend | processes | tokens/s, last epoch | total time, s |")
    print("|---|---|---|---|")
    for backend, num_processes in (("tensorflow", 1), ("jax", 1), ("jax", 2)):
        seconds, rate = run(folder / f"{backend}-{num_processes}", backend, num_processes)
        print(f"| {backend} | {num_processes} | {rate} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
