"""Measure one recipe under TensorFlow, under JAX, and under JAX in two processes of this host.

    python benchmarks/distributed.py [--output runs/distributed]

Two processes on one host share its cores, so the result is the cost of the distribution.
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
    """Return the seconds of a run, and tokens per second of its last epoch."""
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
        sys.exit(f"error: a process under {backend} failed: {output}")
    rates = re.findall(r"([\d,]+) tokens/s", output)
    return time.perf_counter() - start, rates[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("runs/distributed"))
    folder = parser.parse_args().output
    print("| backend | processes | tokens/s, last epoch | total, s |")
    print("|---|---|---|---|")
    for backend, num_processes in (("tensorflow", 1), ("jax", 1), ("jax", 2)):
        seconds, rate = run(folder / f"{backend}-{num_processes}", backend, num_processes)
        print(f"| {backend} | {num_processes} | {rate} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
